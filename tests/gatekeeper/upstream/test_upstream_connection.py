"""Upstreams that fail in every way: a clear fault or a visibly broken body, in bounded time (security 4, 6, 25)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, Script, Upstream, Wire, answering, plays, says

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.connection import READ_AHEAD, Connection, Deadlines
from gatekeeper.upstream.messages import OutboundRequest

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])
POST = OutboundRequest("POST", "/", [HOST], b"body")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = 0.3
"""A deadline that the upstream lets pass, in seconds."""


async def whole(response: object) -> bytes:
    """All of an answer's body."""
    parts = []
    while part := await response.read():  # type: ignore[attr-defined]  # UpstreamResponse
        parts.append(part)
    return b"".join(parts)


async def until(condition: Callable[[], object]) -> None:
    """Give the loop turns until it holds; pytest's own time limit is the deadline."""
    while not condition():  # noqa: ASYNC110 - counts have no event to wait for
        await asyncio.sleep(0.001)


async def hang(wire: Wire) -> None:
    await wire.request()
    await wire.until_closed()


def then_reset(data: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(data)
        wire.reset()

    return script


def then_half_close(data: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(data)
        wire.half_close()
        await wire.until_closed()

    return script


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\1\2\3",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        CHUNKED + b"zz\r\nhello",
    ],
    ids=lambda raw: raw[:50].decode("latin-1"),
)
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_what_is_no_answer_is_a_fault_and_is_asked_once(
    u: StartUpstream, make_pool: MakePool, raw: bytes, request_: OutboundRequest
) -> None:
    """security 28."""
    upstream = await u(says(raw))
    pool = make_pool(upstream)
    with pytest.raises(UpstreamUnavailable, match=r"^api: ") as caught:
        await pool.send(request_)
    assert "127.0.0.1" not in str(caught.value)
    assert pool.stats.open == 0
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("partial", [b"", b"HT", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("end", [then_reset, then_half_close, plays], ids=["reset", "half-close", "close"])
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_a_connection_that_ends_before_the_head_is_complete_is_a_fault(
    u: StartUpstream, make_pool: MakePool, partial: bytes, end: type, request_: OutboundRequest
) -> None:
    upstream = await u(end(partial))
    pool = make_pool(upstream)
    with pytest.raises(UpstreamUnavailable, match="before an answer"):
        await pool.send(request_)
    assert pool.stats.open == 0
    assert len(upstream.requests) == 1, "a new connection that fails is not tried again"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n5\r\nhe",
    ],
)
@pytest.mark.parametrize("end", [then_reset, then_half_close, plays], ids=["reset", "half-close", "close"])
async def test_a_body_that_is_cut_off_is_visibly_broken(
    u: StartUpstream, make_pool: MakePool, raw: bytes, end: type
) -> None:
    """security 4: a truncated upstream body never looks complete."""
    pool = make_pool(await u(end(raw)))
    try:
        response = await pool.send(GET)
    except UpstreamUnavailable:
        return  # head and reset arrived together: told before the head went on
    assert response.complete_body is None
    with pytest.raises(UpstreamUnavailable, match="in the middle"):
        await whole(response)
    with pytest.raises(UpstreamUnavailable):
        await response.read()
    assert pool.stats.open == 0


async def test_a_chunk_that_breaks_after_the_head_breaks_the_body(u: StartUpstream, make_pool: MakePool) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED + b"5\r\nhello\r\n")
        await go_on.wait()
        await wire.send(b"5\r\nhelloXX")
        await wire.until_closed()

    pool = make_pool(await u(script))
    response = await pool.send(GET)
    assert await response.read() == b"hello"
    go_on.set()
    with pytest.raises(UpstreamUnavailable, match="malformed"):
        await whole(response)
    assert pool.stats.open == 0


@pytest.mark.parametrize("end", [then_half_close, plays], ids=["half-close", "close"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_without_framing_ends_with_the_connection(
    u: StartUpstream, make_pool: MakePool, end: type, version: bytes
) -> None:
    pool = make_pool(await u(end(b"HTTP/%b 200 OK\r\n\r\nhello" % version)))
    response = await pool.send(GET)
    assert (response.complete_body, response.content_length) == (None, None)
    assert await whole(response) == b"hello"
    assert await response.read() == b""
    assert pool.stats.open == 0


async def test_a_body_without_framing_that_is_reset_is_broken(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await wire.head()  # nothing comes until the reader has the first part
        wire.reset()

    upstream = await u(script)
    pool = make_pool(upstream)
    response = await pool.send(GET)
    assert await response.read() == b"hello"
    upstream.wires[0].reset()
    with pytest.raises(UpstreamUnavailable):
        await response.read()


async def test_an_answer_that_comes_byte_by_byte_is_whole(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        while await wire.request():
            await wire.dribble(CHUNKED + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n")

    upstream = await u(script)
    pool = make_pool(upstream)
    for _ in range(3):
        response = await pool.send(GET)
        assert response.headers == []
        assert await whole(response) == b"hello world"
    assert len(upstream.wires) == 1


async def test_interim_answers_are_skipped(u: StartUpstream, make_pool: MakePool) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    pool = make_pool(await u(plays(interim + OK, then=answering)))
    response = await pool.send(GET)
    assert (response.status, response.complete_body) == (200, b'{"ok":true}')
    assert response.headers == [(b"Content-Type", b"application/json")]


@pytest.mark.parametrize(
    ("request_", "answer", "length", "kept"),
    [
        (OutboundRequest("HEAD", "/", [HOST]), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5, False),
        (OutboundRequest("HEAD", "/", [HOST]), b"HTTP/1.1 200 OK\r\n\r\n", None, True),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n", None, True),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 5, True),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, True),
        (GET, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, False),
        (GET, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", 0, True),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0, False),
    ],
)
async def test_an_answer_without_a_body_is_complete_with_its_head(
    u: StartUpstream, make_pool: MakePool, request_: OutboundRequest, answer: bytes, length: int | None, kept: bool
) -> None:
    pool = make_pool(await u(says(answer)))
    response = await pool.send(request_)
    assert (response.complete_body, response.content_length) == (b"", length)
    assert await response.read() == b""
    response.release()
    assert pool.stats.idle == int(kept)


@pytest.mark.parametrize("after", [b"\r\n", b"x", OK])
async def test_a_connection_with_bytes_after_the_answer_is_never_used_again(
    u: StartUpstream, make_pool: MakePool, after: bytes
) -> None:
    """security 4, 27: a smuggled answer would go to the next caller."""
    upstream = await u(says(OK + after))
    pool = make_pool(upstream)
    for _ in range(3):
        assert (await pool.send(GET)).complete_body == b'{"ok":true}'
        assert pool.stats.open == 0
    assert len(upstream.wires) == 3


async def test_a_byte_on_an_idle_connection_closes_it(u: StartUpstream, make_pool: MakePool) -> None:
    """security 27."""
    speak = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await speak.wait()
        await wire.send(OK.replace(b"true", b"evil"))
        await wire.until_closed()

    upstream = await u(script)
    pool = make_pool(upstream)
    await pool.send(GET)
    assert pool.stats.idle == 1
    speak.set()
    await until(lambda: pool.stats.open == 0)
    assert (await pool.send(GET)).complete_body == b'{"ok":true}'
    assert len(upstream.wires) == 2


async def test_an_upstream_that_speaks_first_is_not_used(u: StartUpstream, make_pool: MakePool) -> None:
    async def banner(wire: Wire) -> None:
        await wire.send(b"220 mail.example ESMTP\r\n")
        await wire.until_closed()

    pool = make_pool(await u(banner))
    with pytest.raises(UpstreamUnavailable):
        await pool.send(GET)
    assert pool.stats.open == 0


# Deadlines (security 6)


async def test_an_upstream_that_never_answers_is_a_timeout(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(hang)
    pool = make_pool(upstream, first_byte_timeout=SHORT)
    with pytest.raises(UpstreamTimeout, match="no answer in time"):
        await pool.send(GET)
    assert pool.stats.open == 0
    assert len(upstream.requests) == 1, "a slow request is not sent twice"


async def test_a_dribbled_head_does_not_outlive_the_first_byte_deadline(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        while not wire.writer.is_closing() and not wire.reader.at_eof():
            await wire.send(b"A: b\r\n"[:1])
            await asyncio.sleep(0.02)

    pool = make_pool(await u(script), first_byte_timeout=SHORT)
    with pytest.raises(UpstreamTimeout):
        await pool.send(GET)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
)
async def test_a_body_that_stalls_is_a_timeout(u: StartUpstream, make_pool: MakePool, start: bytes) -> None:
    pool = make_pool(await u(says(start)), between_bytes_timeout=SHORT)
    response = await pool.send(GET)
    assert await response.read() == b"hello"
    with pytest.raises(UpstreamTimeout, match="stopped in the middle"):
        await response.read()
    assert pool.stats.open == 0


async def test_a_body_that_trickles_is_not_cut_and_silence_may_be_allowed(
    u: StartUpstream, make_pool: MakePool
) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED)
        await go_on.wait()
        await wire.send(b"5\r\nhello\r\n0\r\n\r\n")
        await wire.until_closed()

    pool = make_pool(await u(script), between_bytes_timeout=SHORT)
    response = await pool.send(GET)
    response.allow_silence()
    asyncio.get_running_loop().call_later(3 * SHORT, go_on.set)
    assert await whole(response) == b"hello"
    assert pool.stats.idle == 1


async def test_a_slow_reader_is_not_the_upstreams_fault(u: StartUpstream, make_pool: MakePool) -> None:
    size = 8 << 20

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, bytes(size))
        await wire.until_closed()

    pool = make_pool(await u(script), between_bytes_timeout=SHORT)
    response = await pool.send(GET)
    await asyncio.sleep(3 * SHORT)
    assert response.buffered < READ_AHEAD + (1 << 20), "reading from the upstream pauses"
    assert len(await whole(response)) == size
    assert pool.stats.idle == 1


async def test_an_upstream_that_does_not_read_is_a_timeout(u: StartUpstream, make_pool: MakePool) -> None:
    async def script(wire: Wire) -> None:
        await asyncio.Event().wait()

    pool = make_pool(await u(script), between_bytes_timeout=SHORT)
    with pytest.raises(UpstreamTimeout, match="stopped reading"):
        await pool.send(OutboundRequest("POST", "/", [HOST], bytes(16 << 20)))
    assert pool.stats.open == 0


async def test_a_slow_but_steady_upstream_gets_its_time_to_read(u: StartUpstream, make_pool: MakePool) -> None:
    """The body is far larger than what sockets hold, and takes several stall deadlines to be read."""
    size, part, deadline = 48 << 20, 1 << 20, 1.5
    loop = asyncio.get_running_loop()

    async def script(wire: Wire) -> None:
        started = loop.time()
        await wire.head()
        for read in range(0, size, part):
            await wire.reader.readexactly(part)
            if loop.time() - started < 2.5 * deadline * read / size:
                await asyncio.sleep(2.5 * deadline * read / size - (loop.time() - started))
        await wire.send(OK)
        await wire.until_closed()

    pool = make_pool(await u(script), between_bytes_timeout=deadline, first_byte_timeout=30.0)
    assert (await pool.send(OutboundRequest("POST", "/", [HOST], bytes(size)))).status == 200


async def test_an_idle_connection_is_closed_after_its_time(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    pool = make_pool(upstream, idle_timeout=SHORT)
    await pool.send(GET)
    assert pool.stats.idle == 1
    await until(lambda: pool.stats.open == 0)
    await pool.send(GET)
    assert len(upstream.wires) == 2


# Giving up


async def test_a_released_answer_closes_its_connection(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"))
    pool = make_pool(upstream)
    response = await pool.send(GET)
    response.release()
    await response.close()
    assert pool.stats.open == 0
    with pytest.raises(UpstreamUnavailable):
        await whole(response)


async def test_a_cancelled_reader_closes_the_connection(u: StartUpstream, make_pool: MakePool) -> None:
    """security 27."""
    pool = make_pool(await u(says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")))
    response = await pool.send(GET)
    await response.read()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert pool.stats.open == 0


async def test_two_readers_of_one_answer_are_a_mistake(u: StartUpstream, make_pool: MakePool) -> None:
    pool = make_pool(await u(says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")))
    response = await pool.send(GET)
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two readers"):
        await response.read()
    response.release()
    with pytest.raises(UpstreamUnavailable):
        await reading


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50])
async def test_a_cancelled_caller_closes_the_connection_at_once(
    u: StartUpstream, make_pool: MakePool, request_: OutboundRequest, turns: int
) -> None:
    """security 27: not only when the answer comes."""
    upstream = await u(plays(OK, then=hang))
    pool = make_pool(upstream)
    await pool.send(GET)
    caller = asyncio.create_task(pool.send(request_))
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pool.stats.open == pool.stats.idle == (0 if turns else 1)


# The connection by itself


class Owner:
    """Counts what a connection reports."""

    def __init__(self) -> None:
        self.ready = self.closed = self.gone = 0

    def connection_ready(self, connection: Connection) -> None:
        self.ready += 1

    def connection_closed(self, connection: Connection) -> None:
        self.closed += 1

    def connection_gone(self, connection: Connection) -> None:
        self.gone += 1


async def dial(upstream: Upstream, owner: Owner) -> Connection:
    loop = asyncio.get_running_loop()
    connection = Connection(owner, "api", Deadlines())
    await loop.create_connection(lambda: connection, "127.0.0.1", upstream.port)
    return connection


async def test_a_connection_that_spoke_or_ended_while_it_was_opened_is_not_adopted(u: StartUpstream) -> None:
    async def banner(wire: Wire) -> None:
        await wire.send(b"220 mail.example ESMTP\r\n")
        await wire.until_closed()

    for script in (banner, plays()):
        owner = Owner()
        connection = await dial(await u(script), owner)
        await until(lambda connection=connection: connection._transport.is_closing())
        assert not connection.adopt()
        assert not connection.usable
        assert (owner.ready, owner.closed) == (0, 0), "it never belonged to anyone"


async def test_a_connection_that_stopped_reading_reads_again_when_it_is_idle(u: StartUpstream) -> None:
    """TLS layers may deliver after a pause; an idle connection must hear its peer close."""
    upstream, owner = await u(hang), Owner()
    connection = await dial(upstream, owner)
    assert connection.adopt()
    waiter = connection.begin(b"GET / HTTP/1.1\r\n\r\n", asked_head=False, sending=False)
    size = 2 * READ_AHEAD
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size - 1))
    assert not connection._transport.is_reading()
    connection.data_received(b"x")
    assert owner.ready == 1
    assert connection._transport.is_reading()
    assert len(await whole(await waiter)) == size
    connection.abort()
    connection.abort()
    await until(lambda: owner.gone)
    assert (owner.closed, owner.gone) == (1, 1)


async def test_an_answer_that_came_while_the_gate_stood_still_counts(u: StartUpstream) -> None:
    """A loop that was held up looks at its sockets once more before it blames the upstream."""
    connection = await dial(await u(hang), Owner())
    assert connection.adopt()
    waiter = connection.begin(b"GET / HTTP/1.1\r\n\r\n", asked_head=False, sending=False)
    connection._deadline = 0.0
    connection._on_timer()
    connection.data_received(OK)
    assert (await waiter).status == 200
    waiter = connection.begin(b"GET / HTTP/1.1\r\n\r\n", asked_head=False, sending=False)
    connection._on_timer()
    connection._deadline = 0.0
    connection._on_timer()
    assert not waiter.done()
    connection._on_timer()
    with pytest.raises(UpstreamTimeout):
        await waiter


async def test_a_sender_that_waits_is_told_when_the_connection_closes(u: StartUpstream) -> None:
    async def deaf(wire: Wire) -> None:
        await asyncio.Event().wait()

    connection = await dial(await u(deaf), Owner())
    assert connection.adopt()
    waiter = connection.begin(b"PUT / HTTP/1.1\r\n\r\n", asked_head=False, sending=True)
    while not connection._write_blocked:
        connection.write(bytes(1 << 20))
    sender = asyncio.create_task(connection.drained())
    await asyncio.sleep(0)
    assert not sender.done()
    connection.abort()
    with pytest.raises(UpstreamUnavailable, match="while the request was being sent"):
        await sender
    with pytest.raises(UpstreamUnavailable):
        await waiter


# TLS


async def parts(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


async def test_tls_upstreams_are_verified_and_spoken_to(
    u: StartUpstream, make_pool: MakePool, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = certificates
    upstream = await u(answering, tls=server)
    pool = make_pool(upstream, ssl_context=client)
    for _ in range(2):
        assert (await pool.send(GET)).complete_body == b'{"ok":true}'
        assert (await pool.send(OutboundRequest("POST", "/", [HOST], parts(b"a" * 100_000, b"b")))).status == 200
    assert len(upstream.wires) == 1
    assert upstream.requests[1].body == b"a" * 100_000 + b"b"


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    u: StartUpstream, make_pool: MakePool, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    upstream = await u(answering, tls=certificates[0])
    pool = make_pool(upstream)
    with pytest.raises(UpstreamUnavailable, match="cannot connect"):
        await pool.send(GET)
    assert upstream.requests == []
    assert pool.stats.open == 0


async def test_a_certificate_for_another_name_is_refused(
    u: StartUpstream, make_pool: MakePool, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = certificates
    upstream = await u(answering, tls=server)
    pool = make_pool(upstream.address.replace("127.0.0.1", "localhost"), ssl_context=client)
    with pytest.raises(UpstreamUnavailable, match="cannot connect"):
        await pool.send(GET)
    assert upstream.requests == []
