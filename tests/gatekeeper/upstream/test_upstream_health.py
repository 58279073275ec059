"""Active checks against real sockets, one look at a time; and the deadlines of whole exchanges and connections."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, Wire, answering, plays, says, unused_port

from gatekeeper.errors import UpstreamTimeout
from gatekeeper.upstream.circuit import CircuitOpen
from gatekeeper.upstream.connection import _Phase
from gatekeeper.upstream.health import ActiveChecks, CheckRule
from gatekeeper.upstream.messages import OutboundRequest
from gatekeeper.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])
RULE = CheckRule("/up?deep=1", timeout=30.0)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - counts have no event to wait for
        await asyncio.sleep(0.001)


async def look(pool: UpstreamPool, times: int = 1) -> list[bool]:
    """Check every target so many times; which are up then."""
    assert pool.checks is not None
    for _ in range(times):
        for target in pool._targets:
            await pool.checks.look_at(target)
    return [up for _, up in pool.standings()]


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code


async def test_a_target_that_fails_its_checks_gets_nothing_until_it_passes_them(
    u: StartUpstream, make_pool: MakePool
) -> None:
    sick, well = await u(says(status(500))), await u()
    pool = make_pool(sick, well, checks=RULE)
    assert await look(pool) == [True, True], "once is not enough"
    assert await look(pool) == [False, True]
    for _ in range(4):
        assert (await pool.send(GET)).status == 200
    assert {request.target for request in sick.requests} == {b"/up?deep=1"}
    sick.script = answering
    assert await look(pool) == [False, True]
    assert await look(pool) == [True, True]
    for _ in range(4):
        await pool.send(GET)
    assert [request.target for request in sick.requests].count(b"/") == 2


async def test_only_answers_in_a_row_change_a_target_s_state(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    pool = make_pool(upstream, checks=CheckRule("/up", healthy_after=3, unhealthy_after=2, timeout=30.0))

    async def answer(good: bool) -> bool:
        upstream.script = answering if good else says(status(503))
        return (await look(pool))[0]

    assert [await answer(good) for good in (False, True, False, True)] == [True] * 4
    assert [await answer(good) for good in (False, False)] == [True, False]
    assert [await answer(good) for good in (True, True, False, True, True)] == [False] * 5
    assert await answer(good=True)


@pytest.mark.parametrize(
    ("expect", "code", "up"),
    [
        (((200, 399),), 200, True),
        (((200, 399),), 399, True),
        (((200, 399),), 400, False),
        (((204, 204), (401, 401)), 401, True),
        (((204, 204), (401, 401)), 200, False),
    ],
)
async def test_what_is_expected_is_good(
    u: StartUpstream, make_pool: MakePool, expect: tuple[tuple[int, int], ...], code: int, up: bool
) -> None:
    pool = make_pool(await u(says(status(code))), checks=CheckRule("/", expect=expect, timeout=30.0))
    assert await look(pool, 2) == [up]


async def closing(wire: Wire) -> None:
    await wire.request()


async def silent(wire: Wire) -> None:
    await wire.until_closed()


@pytest.mark.parametrize("script", [closing, silent, says(b"HELLO\r\n\r\n"), says(b"HTTP/1.1 200 OK\r\n")])
async def test_closing_silence_and_garbage_are_bad(
    u: StartUpstream, make_pool: MakePool, script: Callable[[Wire], object]
) -> None:
    pool = make_pool(await u(script), checks=CheckRule("/", timeout=0.3))
    assert await look(pool, 2) == [False]


async def test_a_target_that_refuses_is_down_and_nobody_is_asked(make_pool: MakePool) -> None:
    pool = make_pool(f"http://127.0.0.1:{unused_port()}", checks=CheckRule("/", every=7.0))
    assert await look(pool, 2) == [False]
    with pytest.raises(CircuitOpen, match="api: no target passes its health checks") as caught:
        await pool.send(GET)
    assert caught.value.retry_after == 7.0


async def test_the_question_names_the_target_or_what_was_configured(
    u: StartUpstream, make_pool: MakePool, tmp_path: Path
) -> None:
    tcp, unix = await u(), await u(path=str(tmp_path / "u"))
    await look(make_pool(tcp, unix, checks=RULE))
    await look(make_pool(tcp, checks=CheckRule("/", host="api.internal:81")))
    assert tcp.requests[0].values(b"Host") == [f"127.0.0.1:{tcp.port}".encode()]
    assert unix.requests[0].values(b"Host") == [b"localhost"]
    assert tcp.requests[1].values(b"Host") == [b"api.internal:81"]


async def test_a_check_leaves_no_connection_behind(u: StartUpstream, make_pool: MakePool) -> None:
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.until_closed()
        ended.set()

    pool = make_pool(await u(script), checks=RULE)
    assert await look(pool) == [True]
    await ended.wait()
    assert (pool.stats.open, len(pool._sockets)) == (0, 0)


async def test_each_target_is_looked_at_again_and_again_out_of_step(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u(), await u()]
    pool = make_pool(*ups, checks=CheckRule("/up", every=10.0, timeout=5.0))
    assert pool.checks is not None
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    checks = ActiveChecks("api", pool.checks._rule, pool._targets, pool._dialer, pause=pause)
    task = asyncio.create_task(checks.run())
    await until(lambda: all(len(up.requests) >= 5 for up in ups))
    task.cancel()
    await asyncio.wait({task})
    assert all(0 <= seconds <= 1 for seconds in pauses[:2]), "soon after the start"
    assert all(9 <= seconds <= 11 for seconds in pauses[2:])
    assert len(set(pauses)) == len(pauses)


# Deadlines of whole exchanges, and the age of connections


async def dribbling(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not wire.writer.is_closing():
        await wire.send(b"x")
        await asyncio.sleep(0.02)


async def read_all(pool: UpstreamPool, *, endless: bool | None = None) -> None:
    response = await pool.send(GET)
    if endless is not None:
        response.allow_silence(endless=endless)
    try:
        while await response.read():
            pass
    finally:
        response.release()


async def test_a_whole_exchange_may_have_a_deadline(u: StartUpstream, make_pool: MakePool) -> None:
    """security 6: bytes that keep coming do not move it."""
    pool = make_pool(await u(dribbling), total_timeout=0.4)
    with pytest.raises(UpstreamTimeout, match="whole exchange"):
        await read_all(pool)


async def test_the_total_deadline_holds_before_the_head_too(u: StartUpstream, make_pool: MakePool) -> None:
    pool = make_pool(await u(silent), total_timeout=0.2)
    with pytest.raises(UpstreamTimeout, match="whole exchange"):
        await pool.send(GET)


async def test_an_upstream_that_takes_a_request_slowly_does_not_move_the_total_deadline(
    u: StartUpstream, make_pool: MakePool
) -> None:
    async def slow(wire: Wire) -> None:
        await wire.head()
        while await wire.read(1 << 18):  # noqa: ASYNC110 - it is slow on purpose
            await asyncio.sleep(0.01)

    pool = make_pool(await u(slow), total_timeout=1.0, between_bytes_timeout=0.5)
    with pytest.raises(UpstreamTimeout, match="whole exchange"):
        await pool.send(OutboundRequest("POST", "/", [HOST], bytes(100 << 20)))


async def test_a_body_that_may_pause_still_has_a_total_deadline_but_an_endless_one_has_none(
    u: StartUpstream, make_pool: MakePool
) -> None:
    async def events(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await wire.until_closed()

    pool = make_pool(await u(events), total_timeout=0.3)
    with pytest.raises(UpstreamTimeout, match="whole exchange"):
        await read_all(pool, endless=False)
    response = await pool.send(GET)
    response.allow_silence(endless=True)
    (connection,) = [connection for connection in pool._sockets if connection._phase is _Phase.BUSY]
    assert (connection._give_up, connection._deadline) == (math.inf, math.inf)
    response.release()


async def test_the_total_deadline_ends_with_its_exchange(u: StartUpstream, make_pool: MakePool) -> None:
    pool = make_pool(await u(), total_timeout=60.0)
    assert (await pool.send(GET)).status == 200
    (connection,) = pool._sockets
    assert connection._give_up == math.inf


async def test_a_connection_that_is_old_enough_carries_no_further_request(
    u: StartUpstream, make_pool: MakePool
) -> None:
    """So a name that has moved is followed: each new connection resolves it anew."""
    upstream = await u()
    pool = make_pool(upstream, max_age=0.0)
    for _ in range(3):
        assert (await pool.send(GET)).status == 200
    assert len(upstream.wires) == 3
    young = await u()
    pool = make_pool(young, max_age=3600.0)
    for _ in range(3):
        await pool.send(GET)
    assert len(young.wires) == 1


async def test_an_http_1_0_upstream_is_spoken_to_connection_by_connection(
    u: StartUpstream, make_pool: MakePool
) -> None:
    upstream = await u(plays(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    pool = make_pool(upstream)
    for _ in range(3):
        assert (await pool.send(OutboundRequest("POST", "/", [HOST], b"x"))).complete_body == b"ok"
    assert (len(upstream.wires), pool.stats.open) == (3, 0)
