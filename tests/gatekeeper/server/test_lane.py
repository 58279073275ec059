"""Lean connections: what they take, what they leave to the framework byte for byte, and what ends them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from factories import NOW
from llhttp import AFTER_CLOSE, GOOD, MUST_FAIL, is_upgrade, titled, variants

from gatekeeper.clock import ManualClock
from gatekeeper.inbound import Head, Heads, InboundRequest, RequestReader, TrustedProxies
from gatekeeper.server.lane import LARGEST_BODY, MOST_PIECES, READ_AHEAD, Lane

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SOON = 0.3  # seconds, for a deadline that is to pass
DEADLINE = 30.0


class Echo:
    """A service that answers with what it was asked; ``/slow`` when told to, ``/flood`` for ever."""

    def __init__(self) -> None:
        self.seen: list[InboundRequest] = []
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._reader = RequestReader(TrustedProxies(), ManualClock(NOW))

    def read(self, method: str, target: str, head: Head, arrival: Any) -> InboundRequest | None:
        read = self._reader.read_head(method, target, head, arrival)
        return read if isinstance(read, InboundRequest) and not read.target.path.startswith("/framework") else None

    async def serve(self, lane: Lane, inbound: InboundRequest, body: bytes | None) -> None:
        self.seen.append(inbound)
        try:
            if inbound.target.path == "/slow":
                self.entered.set()
                await self.release.wait()
            while inbound.target.path == "/flood":
                lane.write(b"x" * 65536)
                self.entered.set()
                await lane.writable()
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise
        told = f"lean {inbound.method} {inbound.target.origin_form} ".encode() + (body or b"")
        lane.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
        lane.done()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


async def test_plain_requests_are_answered_in_turn_on_one_connection(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo)
    answer = await served.ask(
        GET + b"\r\n" + b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" + GET + CLOSE
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [answer.index(told) for told in (b"lean GET /a ", b"lean POST /b hi")] == sorted(
        [answer.index(b"lean GET /a "), answer.index(b"lean POST /b hi")]
    )
    assert not served.seen


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /framework HTTP/1.1\r\nHost: a\r\n",
        b"GET /a HTTP/1.0\r\nHost: a\r\n",
        GET + b"Expect: 100-continue\r\n",
        GET + b"Upgrade: something\r\n",
        GET + b"X: caf\xc3\xa9\r\n",
        b"\r\n" + GET,
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        b"GET http://a/a HTTP/1.1\r\nHost: a\r\n",
        b"GET /a/../b HTTP/1.1\r\nHost: a\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (LARGEST_BODY + 1),
        GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        GET + b"Connection: X-Gate-User\r\n",
    ],
)
async def test_what_is_not_plain_is_the_frameworks_business(serve: Any, echo: Echo, raw: bytes) -> None:
    served = await serve(express=echo, body_idle=SOON)
    body = b"0\r\n\r\n" if b"chunked" in raw else b""
    await served.ask(raw + CLOSE + body)
    assert not echo.seen


async def test_a_connection_that_was_taken_over_keeps_every_byte(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo)
    post = b"POST /framework HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    answer = await served.ask(GET + b"\r\n" + post + GET + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert (len(echo.seen), served.seen, served.bodies[0]) == (1, ["POST /framework", "GET /a"], b"hello")


@pytest.mark.parametrize("case", **titled([case for case in MUST_FAIL if not is_upgrade(case)]))
async def test_nothing_that_must_fail_is_served_lean(case: dict[str, Any], serve: Any, echo: Echo) -> None:
    """security 28, and the next connection works; what follows a good message's ``close`` is not read at all."""
    served = await serve(express=echo, body_idle=SOON, head=SOON)
    good = case["error_code"] == AFTER_CLOSE
    for raw in variants(case):
        assert (await served.ask(raw, b"\r\n\r\n")).count(b"HTTP/1.1 2") <= good
    assert len(echo.seen) <= len(variants(case)) * good
    assert b"lean" in await served.ask(GET + CLOSE)


@pytest.mark.parametrize("case", **titled(GOOD))
def test_a_lean_head_holds_what_the_frameworks_parser_reads(case: dict[str, Any]) -> None:
    heads = Heads(max_fields=100)
    for raw in variants(case):
        start, _, rest = raw.partition(b"\r\n\r\n")
        head = heads.read(start.partition(b"\r\n")[2] + b"\r\n")
        if head is None:
            continue
        message = _parsed(start + b"\r\n\r\n" + rest[: head.length])
        assert [(name.lower(), value) for name, value in head.raw] == [
            (name.lower(), value) for name, value in message.raw_headers
        ]
        assert message.chunked is False
        assert head.length <= len(rest) or b"Content-Length" in raw


def _parsed(raw: bytes) -> Any:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.http_parser import HttpRequestParser

    loop = asyncio.new_event_loop()
    try:
        messages, _, _ = HttpRequestParser(BaseProtocol(loop), loop, 2**16).feed_data(raw)
        return messages[0][0]
    finally:
        loop.close()


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Host: a",
        b"Host: a\n",
        b"Host: a\r\n b\r\n",
        b"Host : a\r\n",
        b"Host: a\r\nX: b\rc\r\n",
        b"Host: a\r\nX: b\x00\r\n",
        b"Host: a\r\nX: \x7f\r\n",
        b"Host: a\r\n: x\r\n",
        b"Host: a\r\nX\r\n",
        b"Host: a\r\nHost: a\r\n",
        b"X: y\r\n",
        b"Host: a b\r\n",
        b"Host: a\r\nContent-Length: +1\r\n",
        b"Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        b"Host: a\r\nContent-Length: 1, 1\r\n",
        b"Host: a\r\nContent-Length: \r\n",
        b"Host: a\r\nConnection: keep-alive, upgrade\r\n",
        b"Host: a\r\n" + b"X: y\r\n" * 100,
    ],
)
def test_a_head_that_leaves_a_doubt_is_not_read(block: bytes) -> None:
    assert Heads(max_fields=100).read(block) is None


def test_equal_fields_are_one_object_and_what_is_remembered_stays_bounded() -> None:
    heads = Heads(max_fields=100)
    assert heads.read(b"Host: a\r\n") is heads.read(b"Host: a\r\n")
    for number in range(5000):
        assert heads.read(b"Host: a\r\nX: %d\r\n" % number) is not None
    assert len(heads._known) <= 1024


async def test_a_head_and_a_small_body_in_pieces_are_waited_for(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo)
    answer = await served.ask(b"POST /a HT", b"TP/1.1\r\nHost: a\r\nConte", b"nt-Length: 4\r\n", CLOSE + b"ab", b"cd")
    assert answer.endswith(b"lean POST /a abcd")


async def test_a_head_in_very_many_pieces_is_given_to_the_framework(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo)
    async with served.connected() as (reader, writer):
        for piece in [bytes([byte]) for byte in GET] + [CLOSE]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)  # so that they arrive one by one
        assert b" 200 " in await reader.read()
    assert len(GET) > MOST_PIECES


async def test_a_head_that_does_not_end_is_cut_off_without_an_answer(serve: Any, echo: Echo) -> None:
    """security 6."""
    served = await serve(express=echo, head=SOON)
    assert await served.ask(GET) == b""


async def test_a_body_that_does_not_end_is_answered_408(serve: Any, echo: Echo) -> None:
    """security 6."""
    served = await serve(express=echo, body_idle=SOON)
    assert await served.status(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx") == 408


async def test_an_idle_connection_is_closed(serve: Any, echo: Echo) -> None:
    """security 6: before the first request, and after one."""
    served = await serve(express=echo, idle=SOON)
    assert await served.ask() == b""
    assert (await served.ask(GET + b"\r\n")).endswith(b"lean GET /a ")


async def test_a_head_that_is_too_large_is_431(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo, sizes={"head": 1024})
    assert await served.status(GET + b"X: " + b"y" * 2000 + b"\r\n" + CLOSE) == 431
    assert await served.status(b"".join([GET, *(b"X%d: y\r\n" % number for number in range(101)), CLOSE])) == 431


async def test_a_client_that_takes_nothing_is_cut_off(serve: Any, echo: Echo) -> None:
    """security 6."""
    served = await serve(express=echo, body_idle=SOON)
    async with served.connected() as (_, writer):
        writer.transport.pause_reading()
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            await echo.cancelled.wait()


async def test_a_client_that_leaves_cancels_its_request(serve: Any, echo: Echo) -> None:
    served = await serve(express=echo)
    async with served.connected() as (_, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await echo.entered.wait()
    async with asyncio.timeout(DEADLINE):
        await echo.cancelled.wait()


async def test_what_is_sent_ahead_is_bounded(serve: Any, echo: Echo) -> None:
    """security 6: a client that goes on sending during a slow answer fills its own buffers, not ours."""
    served = await serve(express=echo)
    async with served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await echo.entered.wait()
        requests = READ_AHEAD // len(GET) * 4
        writer.write((GET + b"\r\n") * requests)
        await served.eventually(lambda: served.lane()._paused)
        assert len(served.lane()._buffer) <= READ_AHEAD + (1 << 18)
        echo.release.set()
        with suppress(asyncio.IncompleteReadError):
            async with asyncio.timeout(DEADLINE):
                for _ in range(requests + 1):
                    await reader.readuntil(b"lean GET ")
    assert len(echo.seen) == requests + 1


async def test_a_drain_ends_the_idle_at_once_and_the_busy_after_their_answer(serve: Any, echo: Echo) -> None:
    """security 26."""
    served = await serve(express=echo)
    async with served.connected() as (idle, idle_writer), served.connected() as (busy, busy_writer):
        idle_writer.write(GET + b"\r\n")
        await idle.readuntil(b"/a ")
        busy_writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await echo.entered.wait()
        ending = asyncio.ensure_future(served.runner.cleanup())
        async with asyncio.timeout(DEADLINE):
            assert await idle.read() == b""
            echo.release.set()
            assert (await busy.read()).endswith(b"lean GET /slow ")
            await ending
