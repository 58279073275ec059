"""TLS towards upstreams: whom the gate believes, and what it shows of itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Signed, issue
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from upstreams import OK, Wire

from gatekeeper.errors import UpstreamUnavailable
from gatekeeper.upstream.messages import OutboundRequest
from gatekeeper.upstream.tls import BadTls, client_context

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])


@dataclass(frozen=True)
class World:
    """An authority, another one, and whom the first vouches for."""

    folder: Path
    authority: Signed
    other: Signed
    server: Signed
    named: Signed
    client: Signed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("authority")
    authority, other = issue(folder, "authority"), issue(folder, "other")
    return World(
        folder,
        authority,
        other,
        server=issue(folder, "server", by=authority, names=("127.0.0.1",)),
        named=issue(folder, "named", by=authority, names=("api.internal",)),
        client=issue(folder, "client", by=authority, client=True),
    )


def serving(signed: Signed, *, asking: Signed | None = None) -> ssl.SSLContext:
    """A server's side; ``asking`` is the authority of the client certificates that it demands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.cert_file, signed.key_file)
    if asking is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asking.cert_file)
    return context


async def refused(make_pool: MakePool, upstream: Any, **settings: Any) -> str:
    with pytest.raises(UpstreamUnavailable) as caught:
        await make_pool(upstream, **settings).send(GET)
    assert upstream.requests == []
    return str(caught.value)


async def test_an_upstream_of_the_own_authority_is_believed(
    u: StartUpstream, make_pool: MakePool, world: World
) -> None:
    upstream = await u(tls=serving(world.server))
    context = client_context(ca=world.authority.cert_file)
    assert (await make_pool(upstream, ssl_context=context).send(GET)).status == 200


async def test_any_other_authority_is_refused_before_a_byte_of_the_request(
    u: StartUpstream, make_pool: MakePool, world: World
) -> None:
    upstream = await u(tls=serving(world.server))
    for context in (client_context(ca=world.other.cert_file), None):
        why = await refused(make_pool, upstream, ssl_context=context)
        assert why.startswith("api: cannot connect: its certificate is refused:")
        assert str(upstream.port) not in why


def test_an_own_authority_replaces_the_system_s(world: World) -> None:
    assert len(client_context(ca=world.authority.cert_file).get_ca_certs()) == 1


async def test_a_certificate_for_another_name_is_refused(u: StartUpstream, make_pool: MakePool, world: World) -> None:
    upstream = await u(tls=serving(world.named))
    context = client_context(ca=world.authority.cert_file)
    assert "certificate is refused" in await refused(make_pool, upstream, ssl_context=context)
    why = await refused(make_pool, upstream, ssl_context=context, server_name="web.internal")
    assert "certificate is refused" in why


async def test_a_server_name_is_what_is_asked_for_and_verified(
    u: StartUpstream, make_pool: MakePool, world: World
) -> None:
    asked: list[str | None] = []
    context = serving(world.named)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    upstream = await u(tls=context)
    settings = {"ssl_context": client_context(ca=world.authority.cert_file), "server_name": "api.internal"}
    assert (await make_pool(upstream, **settings).send(GET)).status == 200
    assert asked == ["api.internal"]


async def test_a_client_certificate_is_shown_where_one_is_asked_for(
    u: StartUpstream, make_pool: MakePool, world: World
) -> None:
    subjects: list[Any] = []

    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            subjects.append(wire.writer.get_extra_info("peercert")["subject"])
            await wire.send(OK)

    upstream = await u(script, tls=serving(world.server, asking=world.authority))
    ca = world.authority.cert_file
    known = client_context(ca=ca, cert=world.client.cert_file, key=world.client.key_file)
    assert (await make_pool(upstream, ssl_context=known).send(GET)).status == 200
    assert subjects == [((("commonName", "client"),),)]
    upstream.requests.clear()
    assert await refused(make_pool, upstream, ssl_context=client_context(ca=ca))


async def test_one_file_may_hold_certificate_and_key(
    u: StartUpstream, make_pool: MakePool, world: World, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(world.client.key_file.read_bytes() + world.client.cert_file.read_bytes())
    upstream = await u(tls=serving(world.server, asking=world.authority))
    context = client_context(ca=world.authority.cert_file, cert=both)
    assert (await make_pool(upstream, ssl_context=context).send(GET)).status == 200


async def test_verify_false_believes_anyone(u: StartUpstream, make_pool: MakePool, world: World) -> None:
    upstream = await u(tls=serving(world.named))
    assert (await make_pool(upstream, ssl_context=client_context(verify=False)).send(GET)).status == 200


async def test_old_versions_of_tls_are_refused(u: StartUpstream, make_pool: MakePool, world: World) -> None:
    context = serving(world.server)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    upstream = await u(tls=context)
    assert await refused(make_pool, upstream, ssl_context=client_context(ca=world.authority.cert_file))


async def test_a_health_check_meets_targets_as_requests_do(u: StartUpstream, make_pool: MakePool, world: World) -> None:
    from gatekeeper.upstream.health import CheckRule

    upstream = await u(tls=serving(world.server))
    for ca, up in ((world.authority, True), (world.other, False)):
        settings = {"ssl_context": client_context(ca=ca.cert_file), "checks": CheckRule("/", timeout=30.0)}
        pool = make_pool(upstream, **settings)
        assert pool.checks is not None
        for _ in range(2):
            await pool.checks.look_at(pool._targets[0])
        assert pool.standings() == [(upstream.address, up)]


def complaint(**files: Any) -> tuple[str, str]:
    with pytest.raises(BadTls) as caught:
        client_context(**files)
    return caught.value.key, str(caught.value)


def test_each_file_s_fault_is_said_in_a_clear_line(world: World, tmp_path: Path) -> None:
    client, junk, locked = world.client, tmp_path / "junk", tmp_path / "locked.key"
    junk.write_text("nothing of the kind\n")
    encryption = BestAvailableEncryption(b"password")
    locked.write_bytes(client.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    gone = tmp_path / "gone"
    assert complaint(ca=gone) == ("ca", f"{gone}: No such file or directory")
    assert complaint(ca=junk) == ("ca", f"{junk} holds no certificate in PEM")
    assert complaint(ca=tmp_path) == ("ca", f"{tmp_path}: Is a directory")
    assert complaint(cert=gone) == ("cert", f"{gone}: No such file or directory")
    assert complaint(cert=client.cert_file, key=gone) == ("key", f"{gone}: No such file or directory")
    key, why = complaint(cert=client.cert_file, key=world.server.key_file)
    assert key == "key"
    assert why == f"the key in {world.server.key_file} does not belong to the certificate in {client.cert_file}"
    assert complaint(cert=client.cert_file, key=locked) == (
        "key",
        f"{locked} is encrypted; the gate needs a key without a password",
    )
    assert "no certificate and key in PEM" in complaint(cert=junk)[1]
    assert "no certificate and key in PEM" in complaint(cert=client.cert_file)[1], "the key is missing"
