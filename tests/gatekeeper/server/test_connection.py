"""Deadlines and bounds of one connection, over real sockets. Each test leans on an inner name of aiohttp's."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from gatekeeper.errors import Problem
from gatekeeper.server.connection import PIPELINE, READ_AHEAD
from policies.model import Reason

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SOON = 0.3  # seconds, for a deadline that is to pass
DEADLINE = 30.0


def problem_of(answer: bytes) -> tuple[int, dict[str, Any], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json" in head.lower()
    return int(head.split(b" ")[1]), json.loads(body), head


async def test_a_plain_request_is_served_and_the_connection_kept(serve: Any) -> None:
    served = await serve()
    answer = await served.ask(GET + b"\r\n", GET + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


# heads


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PROPFIND /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"get /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"FOO /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"\r\nFOO /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /a HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"GET /a HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"GET /a HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /a\r\n\r\n", 505),
        (b"F\x00O /a HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.0\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", 400),
    ],
)
async def test_what_is_no_request_for_us_reaches_no_handler_and_closes(raw: bytes, status: int, serve: Any) -> None:
    """security 2 and 28."""
    served = await serve()
    answer = await served.ask(raw)
    found, body, head = problem_of(answer)
    assert found == body["status"] == status
    assert body["type"] in {
        "urn:gatekeeper:bad-target",
        "urn:gatekeeper:validation",
        "urn:gatekeeper:method-not-allowed",
    }
    assert b"\r\nx-gate-reason: " in head.lower()
    assert b"server:" not in head.lower()
    assert answer.count(b"HTTP/1.") == 1
    assert served.seen == []


async def test_a_refusal_speaks_our_version_and_says_that_it_closes(serve: Any) -> None:
    served = await serve()
    for raw in (b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n", b"\x00\r\n\r\n"):
        head = problem_of(await served.ask(raw))[2]
        assert head.startswith(b"HTTP/1.1 ")
        assert b"\r\nConnection: close" in head


async def test_what_the_parser_says_is_neither_answered_nor_logged(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """security 28: no parser details, no line that a client wrote."""
    caplog.set_level(logging.DEBUG)
    served = await serve()
    for raw in (
        b"GET /a HTTP/1.1\r\nHost: a\r\nX-Inj\x01ected: forged\r\n\r\n",
        b"GET /inj\x00ected\r\nforged line HTTP/1.1\r\n\r\n",
        b"inj\necte\x1bd",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ninjected\r\n",
    ):
        answer = await served.ask(raw)
        assert set(problem_of(answer)[1]) <= {"type", "title", "status", "detail"}
        assert b"inj" not in answer.lower()
    text = caplog.text.lower()
    assert "inj" not in text
    assert "forged" not in text


async def test_a_head_that_never_ends_is_closed(serve: Any) -> None:
    """security 6: the deadline is for the whole head, however steadily it dribbles."""
    served = await serve(head=SOON)
    async with served.connected() as (reader, writer):

        async def dribble() -> None:
            with suppress(ConnectionError):
                writer.write(GET)
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionError):
                assert await reader.read() == b""
            dribbling.cancel()
    assert served.seen == []


async def test_a_head_that_stops_behind_an_earlier_request_is_closed_after_its_answer(serve: Any) -> None:
    served = await serve(head=SOON)
    answer = await served.ask(GET + b"\r\nGET /b HTT")
    assert answer.count(b"HTTP/1.1 200") == 1
    assert served.seen == ["GET /a"]


async def test_a_late_head_does_not_cut_off_the_answer_before_it(serve: Any) -> None:
    served = await serve(head=SOON)
    async with served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTT")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        connection = served.connection()
        await served.eventually(lambda: connection._deaf)
        served.release.set()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert b"at last" in answer
    assert answer.count(b"HTTP/1.") == 1


async def test_a_head_in_pieces_is_read_when_it_comes_in_time(serve: Any) -> None:
    served = await serve()
    raw = GET + CLOSE
    answer = await served.ask(*(raw[at : at + 1] for at in range(len(raw))))
    assert answer.startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed(serve: Any) -> None:
    """security 6: before the first request, and between two."""
    served = await serve(idle=SOON)
    assert await served.ask(b"") == b""
    assert (await served.ask(GET + b"\r\n")).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("many", [101, 128, 129, 500])
async def test_too_many_fields_are_431(many: int, serve: Any) -> None:
    """security 6. Also notices when aiohttp words its exception another way."""
    served = await serve()
    fields = b"".join(b"X-%d: y\r\n" % number for number in range(many - 1))
    answer = await served.ask(GET + fields + b"\r\n")
    assert problem_of(answer)[0] == 431
    assert problem_of(answer)[1]["type"] == "urn:gatekeeper:too-large"
    assert served.seen == []


async def test_as_many_fields_as_allowed_are_served(serve: Any) -> None:
    served = await serve()
    fields = b"".join(b"X-%d: y\r\n" % number for number in range(98))
    assert (await served.ask(GET + fields + CLOSE)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("piece", [1 << 20, 4096])
@pytest.mark.parametrize(
    "raw",
    [
        GET + b"X: " + b"y" * 33_000 + b"\r\n\r\n",
        GET + b"".join(b"X-%d: " % number + b"y" * 1000 + b"\r\n" for number in range(40)) + b"\r\n",
        b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        GET + b"y" * 33_000 + b": x\r\n\r\n",
    ],
)
async def test_too_large_a_head_is_431(raw: bytes, piece: int, serve: Any) -> None:
    """security 6."""
    served = await serve()
    assert await served.status(*(raw[at : at + piece] for at in range(0, len(raw), piece))) in {431, 0}
    assert await served.status(raw) == 431
    assert served.seen == []


async def test_a_head_up_to_the_bound_is_served_also_behind_a_large_body(serve: Any) -> None:
    served = await serve()
    post = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 31000\r\n\r\n" + b"x" * 31_000
    answer = await served.ask(post, GET + b"X: " + b"y" * 16_000, b"z" * 15_000 + b"\r\n" + CLOSE)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_an_endless_head_is_refused_before_it_ends(serve: Any) -> None:
    """security 6: what is held of an unfinished head is bounded."""
    served = await serve()
    async with served.connected() as (reader, writer):
        writer.write(GET)
        with suppress(ConnectionError):
            for number in range(100):
                writer.write(b"X-%d: " % number + b"y" * 4000 + b"\r\n")
                await writer.drain()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert b" 431 " in answer.split(b"\r\n")[0]


# bodies


async def test_a_stalled_body_is_408_and_closes(serve: Any) -> None:
    """security 6."""
    served = await serve(body_idle=SOON)
    answer = await served.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", b"x" * 5000)
    assert answer.count(b"HTTP/1.") == 1
    status, body, _ = problem_of(answer)
    assert (status, body["detail"]) == (408, "The body did not arrive in time.")
    assert served.bodies == []


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_a_dribbled_body_is_given_up(framing: bytes, serve: Any) -> None:
    """security 6: less than 32 bytes a second on average is no upload."""
    served = await serve(body_idle=SOON)
    part = b"x" if framing.startswith(b"C") else b"1\r\nx\r\n"
    async with served.connected() as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(DEADLINE):
            while not answer.done():
                with suppress(ConnectionError):
                    writer.write(part)
                    await writer.drain()
                await asyncio.sleep(SOON / 2)
            with suppress(ConnectionError):
                assert (await answer).startswith(b"HTTP/1.1 408")
    assert served.bodies == []


async def test_a_body_in_parts_that_keep_coming_outlives_the_deadline(serve: Any) -> None:
    served = await serve(body_idle=2.0)
    async with served.connected() as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n")
        for _ in range(50):
            writer.write(b"x" * 100)
            await writer.drain()
            await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.startswith(b"HTTP/1.1 200")
    assert served.bodies == [b"x" * 5000]


async def test_a_body_that_nobody_takes_from_the_client_is_not_its_fault(serve: Any) -> None:
    """Back-pressure: while the handler does not read, the body's deadline rests."""
    served = await serve()
    size = READ_AHEAD * 8
    async with served.connected() as (reader, writer):
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        connection = served.connection()
        await served.eventually(lambda: connection._reading_paused)
        connection._body_seen -= 3600  # an hour goes by
        connection._body_mark = (connection._body_mark[0] - 3600, connection._body_mark[1])
        connection._look_at_body()
        assert not connection._deaf
        served.release.set()
        await writer.drain()
        assert (await asyncio.wait_for(reader.readline(), DEADLINE)).startswith(b"HTTP/1.1 200")


async def test_a_body_that_breaks_under_a_handler_that_does_not_read_it_leaves_the_answer_whole(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve(body_idle=SOON)
    async with served.connected() as (reader, writer):
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        await served.eventually(lambda: served.seen and served.connection()._deaf)
        served.release.set()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.endswith(b"at last")
    assert caplog.records == []


async def test_a_body_that_stalls_after_the_answer_does_not_hold_the_connection(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """security 6."""
    served = await serve(body_idle=SOON)
    answer = await served.ask(b"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.") == 1
    assert caplog.records == []


async def test_a_length_above_the_bound_is_413_before_the_handler(serve: Any) -> None:
    """security 6."""
    served = await serve(sizes={"body": 1000})
    answer = await served.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
    assert problem_of(answer)[0] == 413
    assert served.seen == []
    assert await served.status(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n") in {
        400,
        413,
    }
    ok = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n" + CLOSE + b"x" * 1000
    assert await served.status(ok) == 200


async def test_a_chunked_body_above_the_bound_is_413(serve: Any) -> None:
    """security 6."""
    served = await serve(sizes={"body": 1000})
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    async with served.connected() as (reader, writer):
        writer.write(head)
        for _ in range(11):
            writer.write(chunk)
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.") == 1
    assert served.bodies == []
    assert await served.status(head.replace(b"\r\n\r\n", b"\r\n" + CLOSE), chunk * 10, b"0\r\n\r\n") == 200


async def test_a_body_that_goes_wrong_has_one_answer_and_no_end(serve: Any) -> None:
    """The parser's error must reach whoever waits for the body, and no second answer may follow."""
    served = await serve()
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served.connected() as (reader, writer):
        writer.write(head + b"3\r\nabc\r\n")
        await served.eventually(lambda: served.seen)
        writer.write(b"zz\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.") == 1
    assert served.bodies == []
    assert served.seen == ["POST /a"]


async def test_bodies_stay_as_they_were_compressed(serve: Any) -> None:
    served = await serve()
    answer = await served.ask(
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n" + CLOSE + b"abc"
    )
    assert answer.endswith(b"\r\n\r\nabc")


# several requests on one connection


async def test_requests_read_ahead_are_bounded(serve: Any) -> None:
    """security 6: a client that pipelines behind a slow answer is made to wait."""
    served = await serve()
    async with served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        for _ in range(PIPELINE):
            writer.write(GET + b"\r\n")
            await writer.drain()
        connection = served.connection()
        await served.eventually(lambda: connection._buffer_paused)
        writer.write((GET + b"\r\n") * 200 + GET + CLOSE)
        assert len(connection._messages) <= 32 + PIPELINE
        served.release.set()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.count(b"HTTP/1.1 200") == 1 + PIPELINE + 201


async def test_what_is_pipelined_behind_garbage_is_not_served(serve: Any) -> None:
    served = await serve()
    answer = await served.ask(b"BAD\x00\r\n\r\n", GET + b"\r\n", GET + b"\r\n")
    assert answer.count(b"HTTP/1.") <= 1
    assert served.seen == []


async def test_garbage_behind_a_request_is_answered_in_turn(serve: Any) -> None:
    served = await serve()
    async with served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        writer.write(b"BAD\x00\r\n\r\n")
        await writer.drain()
        served.release.set()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert answer.startswith(b"HTTP/1.1 200")


async def test_nothing_is_lost_silently_behind_an_upgrade_that_does_not_come(serve: Any) -> None:
    """aiohttp drops what came in the same read; so the connection closes instead of going out of step."""
    served = await serve()
    upgrade = GET + b"Connection: Upgrade\r\nUpgrade: foo\r\n\r\n"
    answer = await served.ask(upgrade + GET.replace(b"/a", b"/lost") + b"\r\n", GET.replace(b"/a", b"/later") + b"\r\n")
    assert served.seen == ["GET /a"]
    assert answer.count(b"HTTP/1.1 200") == 1
    body = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 6\r\n\r\n"
    assert (await served.ask(body, b"abc", b"def" + GET + b"\r\n")).endswith(b"abcdef")


# answers


async def test_a_client_that_takes_nothing_is_cut_off(serve: Any) -> None:
    """security 6: a slow reader cannot hold an answer for ever."""
    served = await serve(body_idle=SOON)
    async with served.connected() as (_reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.cancelled.wait(), DEADLINE)


async def test_a_client_that_leaves_cancels_its_handler(serve: Any) -> None:
    served = await serve()
    async with served.connected() as (_reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
    await asyncio.wait_for(served.cancelled.wait(), DEADLINE)


async def test_a_failing_handler_is_500_without_detail(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """security 28."""
    served = await serve()
    for accept in (b"", b"Accept: text/html\r\n"):
        answer = await served.ask(b"GET /boom HTTP/1.1\r\nHost: a\r\n" + accept + CLOSE)
        status, body, head = problem_of(answer)
        assert (status, body) == (500, {"type": "about:blank", "title": "Internal Server Error", "status": 500})
        assert b"secret" not in answer
        assert b"server:" not in head.lower()
    failures = [record for record in caplog.records if record.name == "gatekeeper.server"]
    assert [record.getMessage() for record in failures] == ["request - failed"] * 2
    assert all(record.exc_info is not None for record in failures)


async def test_a_problem_that_escapes_is_answered_as_it_says(serve: Any) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        raise Problem(409, Reason.EMAIL_TAKEN, "Taken.")

    app = web.Application()
    app.router.add_get("/a", refuse)
    served = await serve(app=app)
    assert problem_of(await served.ask(GET + CLOSE))[:2] == (
        409,
        {"type": "urn:gatekeeper:email-taken", "title": "Conflict", "status": 409, "detail": "Taken."},
    )


@pytest.mark.parametrize(
    "same",
    [
        test_a_plain_request_is_served_and_the_connection_kept,
        test_a_refusal_speaks_our_version_and_says_that_it_closes,
        test_a_head_that_never_ends_is_closed,
        test_a_head_that_stops_behind_an_earlier_request_is_closed_after_its_answer,
        test_a_late_head_does_not_cut_off_the_answer_before_it,
        test_an_idle_connection_is_closed,
        test_an_endless_head_is_refused_before_it_ends,
        test_a_stalled_body_is_408_and_closes,
        test_a_body_that_nobody_takes_from_the_client_is_not_its_fault,
        test_a_chunked_body_above_the_bound_is_413,
        test_a_body_that_goes_wrong_has_one_answer_and_no_end,
        test_requests_read_ahead_are_bounded,
        test_nothing_is_lost_silently_behind_an_upgrade_that_does_not_come,
        test_a_client_that_takes_nothing_is_cut_off,
        test_a_client_that_leaves_cancels_its_handler,
    ],
)
def test_the_same_holds_on_uvloop(same: Any, on_uvloop: Any) -> None:
    """The workers' loop, whose transports are not asyncio's."""
    on_uvloop(same)
