"""Both bodies at once: what the upstream receives, early answers, and senders that fail."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, Wire, answering, echoing

from gatekeeper.errors import UpstreamUnavailable
from gatekeeper.upstream.forward import RequestBodyMismatch
from gatekeeper.upstream.messages import OutboundRequest

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
EARLY = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"


async def parts(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


class EndlessBody:
    """A client that sends on and on; knows whether it was stopped."""

    def __init__(self, part: bytes = bytes(65536)) -> None:
        self.part = part
        self.sent = 0
        self.stopped = False

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield self.part
                self.sent += len(self.part)
        finally:
            self.stopped = True


class SilentBody:
    """A client that sends a byte and then nothing; knows whether it was stopped."""

    stopped = False

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            self.stopped = True


async def test_the_upstream_receives_exactly_these_bytes(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    headers = [(b"hOST", b"api.example"), (b"X-Odd", b" a  b\xff"), (b"X-Odd", b"")]
    await make_pool(upstream).send(OutboundRequest("POST", "/a%2Fb?q=%zz&x[]=1", headers, b"body"))
    assert upstream.raw == (
        b"POST /a%2Fb?q=%zz&x[]=1 HTTP/1.1\r\nhOST: api.example\r\nX-Odd:  a  b\xff\r\nX-Odd: \r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )


async def test_parts_without_a_length_are_chunked(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    await make_pool(upstream).send(OutboundRequest("POST", "/", [HOST], parts(b"hello", b"", b"x" * 17)))
    assert upstream.raw.endswith(
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    )


async def test_parts_with_a_length_are_sent_as_they_are(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(echoing)
    pool = make_pool(upstream)
    for _ in range(2):
        response = await pool.send(OutboundRequest("PUT", "/", [HOST], parts(b"hello", b" world"), 11))
        assert response.complete_body == b"PUT / hello world"
    assert len(upstream.wires) == 1
    assert b"Transfer-Encoding" not in upstream.raw


async def test_a_body_longer_than_said_never_reaches_the_upstream(u: StartUpstream, make_pool: MakePool) -> None:
    """security 4: the surplus would be read as another request."""
    upstream = await u(echoing)
    pool = make_pool(upstream)
    with pytest.raises(RequestBodyMismatch, match="longer"):
        await pool.send(OutboundRequest("PUT", "/", [HOST], parts(b"hello", b"GET /admin HTTP/1.1\r\n"), 5))
    assert b"/admin" not in upstream.raw
    assert pool.stats.open == 0


async def test_a_body_shorter_than_said_ends_the_connection(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(echoing)
    pool = make_pool(upstream)
    with pytest.raises(RequestBodyMismatch, match="shorter"):
        await pool.send(OutboundRequest("PUT", "/", [HOST], parts(b"hell"), 5))
    assert pool.stats.open == 0


async def test_a_fault_of_the_client_ends_the_request_as_that_fault(u: StartUpstream, make_pool: MakePool) -> None:
    class ClientGoneError(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"hello"
        raise ClientGoneError

    upstream = await u(echoing)
    pool = make_pool(upstream)
    with pytest.raises(ClientGoneError):
        await pool.send(OutboundRequest("POST", "/", [HOST], broken()))
    assert pool.stats.open == 0
    assert b"0\r\n\r\n" not in upstream.raw, "a truncated request never looks complete"


async def test_a_body_that_is_cancelled_from_within_does_not_hang_the_request(
    u: StartUpstream, make_pool: MakePool
) -> None:
    async def cancelled() -> AsyncIterator[bytes]:
        yield b"hello"
        raise asyncio.CancelledError

    pool = make_pool(await u(echoing))
    with pytest.raises(UpstreamUnavailable, match="given up"):
        await pool.send(OutboundRequest("POST", "/", [HOST], cancelled()))
    assert pool.stats.open == 0


@pytest.mark.parametrize("close", [False, True], ids=["keeps-open", "half-closes"])
@pytest.mark.parametrize("length", [None, 1 << 40])
async def test_an_early_answer_is_returned_and_sending_stops(
    u: StartUpstream, make_pool: MakePool, close: bool, length: int | None
) -> None:
    """security 4."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(EARLY)
        if close:
            wire.half_close()
        await wire.until_closed()

    upstream = await u(script)
    pool = make_pool(upstream)
    body = EndlessBody()
    response = await pool.send(OutboundRequest("POST", "/", [HOST], body(), length))
    assert (response.status, await response.read()) == (413, b"big")
    assert body.stopped
    assert pool.stats.open == 0, "the rest of the request is missing: nothing can follow on this connection"
    response.release()


async def test_an_early_answer_arrives_while_the_client_is_silent(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await wire.read(3)
        await asyncio.Event().wait()

    pool = make_pool(await u(script))
    body = SilentBody()
    response = await pool.send(OutboundRequest("POST", "/", [HOST], body()))
    assert body.stopped, "whoever called may now do with the client's connection what it likes"
    assert await response.read() == b"hello"
    assert pool.stats.open == 1
    response.release()
    assert pool.stats.open == 0


async def test_a_fault_while_the_client_is_silent_stops_the_sending(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"garbage\r\n")
        await wire.until_closed()

    pool = make_pool(await u(script))
    body = SilentBody()
    with pytest.raises(UpstreamUnavailable, match="not HTTP"):
        await pool.send(OutboundRequest("POST", "/", [HOST], body()))
    assert body.stopped


async def test_a_client_is_not_read_faster_than_the_upstream_takes_it(u: StartUpstream, make_pool: MakePool) -> None:
    async def deaf(wire: Wire) -> None:
        await asyncio.Event().wait()

    pool = make_pool(await u(deaf))
    body = EndlessBody()
    upload = asyncio.create_task(pool.send(OutboundRequest("POST", "/", [HOST], body())))
    for _ in range(2000):
        await asyncio.sleep(0)
    assert body.sent < 64 << 20
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload


async def test_a_body_from_memory_does_not_hold_up_the_loop(u: StartUpstream, make_pool: MakePool) -> None:
    others_ran = asyncio.Event()
    seen: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        asyncio.get_running_loop().call_soon(others_ran.set)
        for _ in range(16):
            yield bytes(65536)
            seen.append(others_ran.is_set())

    pool = make_pool(await u())
    assert (await pool.send(OutboundRequest("POST", "/", [HOST], body()))).status == 200
    assert seen[-1]


async def test_an_answer_after_the_last_byte_keeps_the_connection(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(echoing)
    pool = make_pool(upstream)
    for size in (1, 100_000, 1 << 20):
        response = await pool.send(OutboundRequest("POST", "/", [HOST], parts(b"a" * size, b"b")))
        received = b""
        while part := await response.read():
            received += part
        assert received == b"POST / " + b"a" * size + b"b"
        assert pool.stats.idle == 1
    assert len(upstream.wires) == 1


@pytest.mark.parametrize("moment", range(8))
async def test_a_cancelled_upload_closes_its_connection_and_its_client(
    u: StartUpstream, make_pool: MakePool, moment: int
) -> None:
    """security 27."""

    async def script(wire: Wire) -> None:
        await wire.until_closed()

    pool = make_pool(await u(script))
    body = EndlessBody()
    generator = body()
    upload = asyncio.create_task(pool.send(OutboundRequest("POST", "/", [HOST], generator)))
    for _ in range(moment * 3):
        await asyncio.sleep(0)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert pool.stats.open == 0
    assert body.stopped or not body.sent
    await generator.aclose()


async def test_uploads_and_downloads_do_not_pile_up_in_memory(u: StartUpstream, make_pool: MakePool) -> None:
    """Back-pressure both ways: 256 MiB go through each way while the process grows by far less."""
    part, count = bytes(1 << 16), 4096

    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        if request.method == b"GET":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(part)), *[part] * count)
            await wire.until_closed()
        else:
            left = count * len(part)
            while left:
                left -= len(await wire.reader.read(1 << 16))
            await wire.send(OK)
            await answering(wire)

    pool = make_pool(await u(script))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = parts(*[part] * count)
    assert (await pool.send(OutboundRequest("PUT", "/", [HOST], body, count * len(part)))).status == 200
    pool2 = make_pool(await u(script))
    response = await pool2.send(OutboundRequest("GET", "/", [HOST]))
    size = 0
    while data := await response.read():
        size += len(data)
        await asyncio.sleep(0)
    assert size == count * len(part)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
