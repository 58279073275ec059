"""The way in, on both event loops: who gets in, what is refused, and that every place is given back."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from certificates import Signed, issue

from gatekeeper.inbound import Arrival, TrustedProxies
from gatekeeper.server.accept import Acceptor, Manner
from gatekeeper.server.certificates import Certificates, Pair
from gatekeeper.server.crowd import Crowd, Refusal

PATIENCE = 30.0
LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n"
Test = Callable[[], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Run a test on the standard loop and on the one that the workers use."""

    def run(test: Test) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test())

    return run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return issue(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server(authority: Signed, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    signed = issue(tmp_path_factory.mktemp("server"), "server", by=authority, names=("127.0.0.1",))
    return Certificates([Pair(signed.cert_file, signed.key_file)])


class Echo(asyncio.Protocol):
    def __init__(self, hall: Hall, arrival: Arrival) -> None:
        self.hall = hall
        self.arrival = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.hall.arrivals.append(self.arrival)
        self.hall.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


class Hall:
    def __init__(self) -> None:
        self.port = 0
        self.arrivals: list[Arrival] = []
        self.transports: list[Any] = []
        self.refused: list[Refusal] = []

    async def connect(self, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port, **how), PATIENCE)

    async def says(self, data: bytes, **how: Any) -> bytes:
        """What comes back, at most as much as was sent; b"" where the connection is closed."""
        try:
            reader, writer = await self.connect(**how)
        except ConnectionError:
            return b""
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(len(data)), PATIENCE)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    @staticmethod
    async def until(holds: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110  # what the other side does has no event here
                await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(
    *,
    trusted: tuple[str, ...] = (),
    per_address: int = 100,
    most: int = 100,
    handshake: float = PATIENCE,
    **manner: Any,
) -> AsyncIterator[tuple[Hall, Crowd]]:
    hall, proxies = Hall(), TrustedProxies([ip_network(one) for one in trusted])
    crowd = Crowd(proxies, per_address=per_address, most=most)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    hall.port = listener.getsockname()[1]
    acceptor = Acceptor(
        listener,
        Manner(handshake, **manner),
        lambda arrival: Echo(hall, arrival),
        crowd,
        proxies,
        hall.refused.append,
    )
    acceptor.start()
    try:
        yield hall, crowd
    finally:
        acceptor.stop()
        await acceptor.close()
        for transport in hall.transports:
            transport.abort()
        await hall.until(lambda: crowd.size == 0)


def believing(authority: Signed, **settings: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.cert_file)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def test_a_plain_connection_is_served_and_gives_its_place_back(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with opened(scheme="http") as (hall, crowd):
            assert await hall.says(b"hello") == b"HELLO"
            assert hall.arrivals == [Arrival("127.0.0.1", "http")]
            await hall.until(lambda: crowd.size == 0)
            assert hall.refused == []

    on_loop(test)


def test_one_address_gets_so_many_connections_and_again_when_some_have_ended(on_loop: Callable[[Test], None]) -> None:
    """security 6"""

    async def test() -> None:
        async with opened(per_address=2) as (hall, crowd):
            first, second = await hall.connect(), await hall.connect()
            await hall.until(lambda: crowd.size == 2)
            assert await hall.says(b"hello") == b""
            assert hall.refused == [Refusal.ADDRESS]
            assert len(hall.arrivals) == 2
            first[1].close()
            await hall.until(lambda: crowd.size == 1)
            assert await hall.says(b"hello") == b"HELLO"
            second[1].close()

    on_loop(test)


def test_trusted_proxies_may_have_any_number(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with opened(per_address=1, trusted=("127.0.0.0/8",)) as (hall, _):
            held = [await hall.connect() for _ in range(5)]
            assert await hall.says(b"hello") == b"HELLO"
            assert hall.refused == []
            for _, writer in held:
                writer.close()

    on_loop(test)


def test_a_full_worker_takes_nobody_else_whoever_it_is(on_loop: Callable[[Test], None]) -> None:
    """security 6"""

    async def test() -> None:
        async with opened(most=2, trusted=("127.0.0.0/8",)) as (hall, crowd):
            held = [await hall.connect() for _ in range(2)]
            await hall.until(lambda: crowd.size == 2)
            assert await hall.says(b"hello") == b""
            assert hall.refused == [Refusal.FULL]
            held[0][1].close()
            await hall.until(lambda: crowd.size == 1)
            assert await hall.says(b"hello") == b"HELLO"
            held[1][1].close()

    on_loop(test)


def test_a_connection_counts_until_it_is_closed_whatever_protocol_has_it(on_loop: Callable[[Test], None]) -> None:
    """A tunnel is a connection too."""

    async def test() -> None:
        async with opened() as (hall, crowd):
            _, writer = await hall.connect()
            await hall.until(lambda: hall.transports)
            hall.transports[0].set_protocol(asyncio.Protocol())
            assert crowd.size == 1
            writer.close()
            await hall.until(lambda: crowd.size == 0)

    on_loop(test)


def test_without_descriptors_accepting_pauses_and_goes_on(on_loop: Callable[[Test], None]) -> None:
    class Exhausted:
        """A listening socket that finds no descriptor the first two times."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real
            self.fileno, self.close = real.fileno, real.close
            self.tries = 0

        def accept(self) -> tuple[socket.socket, Any]:
            self.tries += 1
            if self.tries <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return self._real.accept()

    async def test() -> None:
        async with opened() as (hall, crowd):
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            short: Any = Exhausted(listener)
            manner, serve = Manner(PATIENCE), lambda arrival: Echo(hall, arrival)
            acceptor = Acceptor(short, manner, serve, crowd, TrustedProxies(), hall.refused.append)
            acceptor.start()
            hall.port = listener.getsockname()[1]
            assert await hall.says(b"hello") == b"HELLO"
            assert hall.refused == [Refusal.DESCRIPTORS] * 2
            assert short.tries < 10
            acceptor.stop()

    on_loop(test)


# the Proxy Protocol


def test_the_proxy_protocol_names_the_peer(on_loop: Callable[[Test], None]) -> None:
    """security 5"""

    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",), proxy_protocol=True, scheme="http") as (hall, _):
            assert await hall.says(LINE + b"hello") == b"HELLO"
            assert hall.arrivals == [Arrival("192.0.2.7", "http")]

    on_loop(test)


def test_a_proxy_that_names_nobody_is_the_client_and_not_believed(on_loop: Callable[[Test], None]) -> None:
    """security 5"""

    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",), proxy_protocol=True) as (hall, _):
            assert await hall.says(b"PROXY UNKNOWN\r\nhello") == b"HELLO"
            assert hall.arrivals == [Arrival("127.0.0.1", believed=False)]

    on_loop(test)


@pytest.mark.parametrize(
    ("trusted", "sent"),
    [("127.0.0.1/32", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ("10.0.0.0/8", LINE + b"hello")],
    ids=["no head", "nobody who may say"],
)
def test_without_a_head_from_a_trusted_proxy_the_connection_is_closed(
    on_loop: Callable[[Test], None], trusted: str, sent: bytes
) -> None:
    """security 5"""

    async def test() -> None:
        async with opened(trusted=(trusted,), proxy_protocol=True) as (hall, crowd):
            assert await hall.says(sent) == b""
            assert hall.refused == [Refusal.PROXY_PROTOCOL]
            assert hall.arrivals == []
            await hall.until(lambda: crowd.size == 0)

    on_loop(test)


def test_where_none_is_expected_a_head_is_no_head(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",)) as (hall, _):
            assert await hall.says(LINE) == LINE.upper()
            assert hall.arrivals == [Arrival("127.0.0.1")]

    on_loop(test)


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 192", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c12"])
def test_a_head_that_does_not_come_in_time_ends_the_connection(on_loop: Callable[[Test], None], sent: bytes) -> None:
    """security 6"""

    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",), proxy_protocol=True, handshake=0.05) as (hall, crowd):
            reader, writer = await hall.connect()
            writer.write(sent)
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            assert hall.refused == [Refusal.PROXY_PROTOCOL]
            await hall.until(lambda: crowd.size == 0)
            writer.close()

    on_loop(test)


def test_the_client_behind_the_proxy_is_who_is_counted(on_loop: Callable[[Test], None]) -> None:
    """security 6"""

    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",), proxy_protocol=True, per_address=1) as (hall, crowd):
            reader, writer = await hall.connect()
            writer.write(LINE + b"held")
            assert await reader.read(4) == b"HELD"
            assert await hall.says(LINE + b"hello") == b""
            assert hall.refused == [Refusal.ADDRESS]
            assert await hall.says(LINE.replace(b".7 ", b".8 ") + b"hello") == b"HELLO"
            writer.close()
            await hall.until(lambda: crowd.size == 0)
            assert await hall.says(LINE + b"hello") == b"HELLO"

    on_loop(test)


# TLS


def test_tls_is_spoken_with_http_1_1_only(
    on_loop: Callable[[Test], None], authority: Signed, server: Certificates
) -> None:
    async def test() -> None:
        async with opened(tls=server.context, scheme="https") as (hall, _):
            context = believing(authority)
            context.set_alpn_protocols(["h2", "http/1.1"])
            reader, writer = await hall.connect(ssl=context)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.read(5), PATIENCE) == b"HELLO"
            spoken = writer.get_extra_info("ssl_object")
            assert (spoken.version(), spoken.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
            assert hall.arrivals == [Arrival("127.0.0.1", "https")]
            writer.close()

    on_loop(test)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "weak",
    [
        {"maximum_version": ssl.TLSVersion.TLSv1_1, "minimum_version": ssl.TLSVersion.TLSv1},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE+AES128:!AESGCM"},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-GCM-SHA256:AES128-SHA"},
    ],
    ids=["TLS 1.1", "CBC", "no forward secrecy"],
)
def test_weak_tls_is_refused(
    on_loop: Callable[[Test], None], authority: Signed, server: Certificates, weak: dict[str, Any]
) -> None:
    async def test() -> None:
        async with opened(tls=server.context) as (hall, crowd):
            context = believing(authority)
            context.set_ciphers(f"{weak.get('ciphers', 'DEFAULT')}:@SECLEVEL=0")
            for name in ("minimum_version", "maximum_version"):
                if name in weak:
                    setattr(context, name, weak[name])
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await hall.connect(ssl=context)
            await hall.until(lambda: hall.refused == [Refusal.TLS])
            assert hall.arrivals == []
            await hall.until(lambda: crowd.size == 0)

    on_loop(test)


def test_tls_1_2_with_good_ciphers_is_spoken(
    on_loop: Callable[[Test], None], authority: Signed, server: Certificates
) -> None:
    async def test() -> None:
        async with opened(tls=server.context) as (hall, _):
            older = believing(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
            assert await hall.says(b"hello", ssl=older) == b"HELLO"

    on_loop(test)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n"])
def test_a_tls_handshake_that_does_not_come_to_its_end_in_time_ends_the_connection(
    on_loop: Callable[[Test], None], server: Certificates, sent: bytes
) -> None:
    """security 6"""

    async def test() -> None:
        async with opened(tls=server.context, handshake=0.05) as (hall, crowd):
            reader, writer = await hall.connect()
            writer.write(sent)
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), PATIENCE)
            await hall.until(lambda: hall.refused == [Refusal.TLS])
            await hall.until(lambda: crowd.size == 0)
            assert hall.arrivals == []
            writer.close()

    on_loop(test)


def test_the_proxy_protocol_comes_before_tls(
    on_loop: Callable[[Test], None], authority: Signed, server: Certificates
) -> None:
    async def test() -> None:
        async with opened(trusted=("127.0.0.1/32",), tls=server.context, scheme="https", proxy_protocol=True) as (
            hall,
            _,
        ):
            raw = socket.create_connection(("127.0.0.1", hall.port))
            raw.sendall(LINE)
            raw.setblocking(False)
            reader, writer = await asyncio.open_connection(
                sock=raw, ssl=believing(authority), server_hostname="127.0.0.1"
            )
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.read(5), PATIENCE) == b"HELLO"
            assert hall.arrivals == [Arrival("192.0.2.7", "https")]
            writer.close()

    on_loop(test)


def test_what_is_still_on_its_way_in_ends_with_the_acceptor(
    on_loop: Callable[[Test], None], server: Certificates
) -> None:
    async def test() -> None:
        async with opened(tls=server.context) as (hall, crowd):
            held = await hall.connect()
            await hall.until(lambda: crowd.size == 1)
        assert crowd.size == 0
        held[1].close()

    on_loop(test)


# certificates


def shown(port: int, name: str | None, authority: Signed) -> tuple[str, ...]:
    """The names in the certificate that a client who asks for ``name`` gets."""
    context = ssl.create_default_context(cafile=authority.cert_file)
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
        peer: Any = tls.getpeercert()
        return tuple(value for _, value in peer["subjectAltName"])


def test_clients_get_the_certificate_of_the_name_that_they_ask_for(
    on_loop: Callable[[Test], None], authority: Signed, tmp_path: Path
) -> None:
    pairs = []
    for name, names in (("own", ("app.example",)), ("wild", ("*.example.org", "example.org")), ("third", ("b.org",))):
        signed = issue(tmp_path, name, by=authority, names=names)
        pairs.append(Pair(signed.cert_file, signed.key_file))
    certificates = Certificates(pairs)

    async def test() -> None:
        async with opened(tls=certificates.context) as (hall, _):
            for asked, got in (
                ("app.example", "app.example"),
                ("APP.example", "app.example"),
                ("a.example.org", "*.example.org"),
                ("example.org", "*.example.org"),
                ("b.org", "b.org"),
                ("x.a.example.org", "app.example"),
                ("unknown.example", "app.example"),
                (None, "app.example"),
            ):
                assert (await asyncio.to_thread(shown, hall.port, asked, authority))[0] == got

    on_loop(test)


def test_new_certificates_are_shown_to_new_connections_and_old_ones_go_on(
    on_loop: Callable[[Test], None], authority: Signed, tmp_path: Path
) -> None:
    first = issue(tmp_path, "first", by=authority, names=("127.0.0.1", "old.example"))
    second = issue(tmp_path, "second", by=authority, names=("127.0.0.1", "new.example"))
    certificates = Certificates([Pair(first.cert_file, first.key_file)])

    async def test() -> None:
        async with opened(tls=certificates.context) as (hall, _):
            reader, writer = await hall.connect(ssl=believing(authority))
            assert "old.example" in await asyncio.to_thread(shown, hall.port, None, authority)
            second.cert_file.replace(first.cert_file)
            second.key_file.replace(first.key_file)
            certificates.use(certificates.read())
            assert "new.example" in await asyncio.to_thread(shown, hall.port, "any", authority)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.read(5), PATIENCE) == b"HELLO"
            writer.close()

    on_loop(test)
