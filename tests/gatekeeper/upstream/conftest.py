"""Wire tests run on both event loops: uvloop serves, asyncio is what plain Python has."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Protocol

import pytest
import pytest_asyncio
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from upstreams import Script, Upstream, answering

from gatekeeper.upstream.messages import TargetAddress
from gatekeeper.upstream.pool import UpstreamPool
from gatekeeper.upstream.settings import PoolSettings

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class StartUpstream(Protocol):
    """``await u(script)``: an upstream that ends with the test."""

    async def __call__(self, script: Script = ..., **options: Any) -> Upstream: ...


class MakePool(Protocol):
    """``make_pool(u, ...)``: a pool that is closed with the test, after it was seen to be without leaks.

    Options are those of ``PoolSettings``, and ``balance``, ``sticky`` and ``now``.
    """

    def __call__(self, *targets: Upstream | str, **options: Any) -> UpstreamPool: ...


@pytest_asyncio.fixture
async def u() -> AsyncIterator[StartUpstream]:
    async with AsyncExitStack() as stack:

        async def start(script: Script = answering, **options: Any) -> Upstream:
            return await stack.enter_async_context(Upstream(script, **options))

        yield start


@pytest_asyncio.fixture
async def make_pool(u: StartUpstream) -> AsyncIterator[MakePool]:
    pools: list[UpstreamPool] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def make(*targets: Upstream | str, **options: Any) -> UpstreamPool:
        addresses = [target if isinstance(target, str) else target.address for target in targets]
        own = {name: options.pop(name) for name in ("balance", "sticky", "now") if name in options}
        pool = UpstreamPool(
            "api", [TargetAddress.parse(address) for address in addresses], PoolSettings(**options), **own
        )
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.close()
        assert (pool.stats.open, pool.stats.idle, pool.stats.waiting) == (0, 0, 0)
        assert not pool._sockets
        assert not pool._target_of
    assert complaints == []


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client contexts of an own authority that vouches for 127.0.0.1 (not for localhost)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test upstream")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = folder / "upstream.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)
