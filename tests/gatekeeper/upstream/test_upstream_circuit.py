"""When asking stops and starts again: ejection, circuit, retries. The clock is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, Upstream, Wire, answering, says, unused_port

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.circuit import Circuit, CircuitOpen, CircuitRule, EjectionRule, Record
from gatekeeper.upstream.messages import OutboundRequest
from gatekeeper.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])
POST = OutboundRequest("POST", "/", [HOST], b"once")
TWICE = EjectionRule(failures=2, within=10.0, seconds=10.0, growth=3.0, longest=50.0)
NEVER = CircuitRule(requests=0)


class Hands:
    """A clock."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hands:
    return Hands()


async def resetting(wire: Wire) -> None:
    if await wire.request() is not None:
        wire.reset()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - counts have no event to wait for
        await asyncio.sleep(0.001)


async def fails(pool: UpstreamPool, request: OutboundRequest = GET) -> UpstreamUnavailable:
    with pytest.raises(UpstreamUnavailable) as caught:
        await pool.send(request)
    return caught.value


def ups(pool: UpstreamPool) -> list[bool]:
    return [up for _, up in pool.standings()]


# The record of one target


def test_only_failures_in_a_row_put_a_target_aside() -> None:
    record = Record(EjectionRule(failures=3, within=10.0))
    assert [record.failed(time, time) for time in (0.0, 1.0)] == [False, False]
    assert not record.answered(1.5, 1.5), "it was not away"
    assert [record.failed(time, time) for time in (2.0, 3.0, 4.0)] == [False, False, True]


def test_failures_that_lie_too_far_apart_do_not_count_together() -> None:
    record = Record(EjectionRule(failures=3, within=10.0))
    assert [record.failed(time, time) for time in (0.0, 6.0, 12.0, 15.0)] == [False, False, False, True]


def test_each_time_aside_is_longer_up_to_a_limit() -> None:
    record, now, lengths = Record(TWICE), 0.0, []
    for _ in range(4):
        lengths.append(record.eject(now))
        now = record.aside_until
    assert lengths == [10.0, 30.0, 50.0, 50.0]


def test_after_its_time_the_first_failure_puts_it_aside_again_and_an_answer_frees_it() -> None:
    record = Record(TWICE)
    record.eject(0.0)
    assert record.failed(11.0, 11.0)
    record.eject(11.0)
    assert record.answered(50.0, 50.0)
    assert (record.troubled, record.failed(51.0, 51.0)) == (False, False)


def test_who_held_out_long_enough_begins_anew() -> None:
    record = Record(TWICE)
    assert [record.eject(0.0), record.eject(20.0)] == [10.0, 30.0]
    assert record.eject(50.0 + 31.0) == 10.0


def test_what_was_under_way_before_says_nothing_afterwards() -> None:
    record = Record(TWICE)
    record.eject(100.0)
    assert not record.answered(99.0, 105.0)
    assert not record.failed(99.0, 111.0)
    assert record.aside_until == 110.0
    assert record.answered(101.0, 105.0), "a probe that is answered ends it"
    assert record.aside_until == 105.0


def test_zero_failures_means_never() -> None:
    record = Record(EjectionRule(failures=0))
    assert not any(record.failed(0.0, 0.0) for _ in range(100))


# The circuit by itself


def test_the_circuit_opens_when_too_large_a_share_of_enough_requests_fails() -> None:
    circuit = Circuit(CircuitRule(share=0.5, requests=10, within=10.0))
    circuit.failed(0.0, 0.0)
    for _ in range(4):
        circuit.answered(0.0, 0.0)
    assert [circuit.failed(1.0, 1.0) for _ in range(5)] == [False, False, False, False, True]


def test_fewer_requests_or_a_smaller_share_leave_it_closed() -> None:
    circuit = Circuit(CircuitRule(share=0.5, requests=10, within=10.0))
    assert not any(circuit.failed(0.0, 0.0) for _ in range(9))
    circuit = Circuit(CircuitRule(share=0.5, requests=10, within=10.0))
    circuit.failed(0.0, 0.0)
    for _ in range(100):
        circuit.answered(0.0, 0.0)
    assert not any(circuit.failed(1.0, 1.0) for _ in range(50))


def test_failures_of_another_window_do_not_count() -> None:
    circuit = Circuit(CircuitRule(share=0.5, requests=10, within=10.0))
    assert not any(circuit.failed(0.0, 0.0) for _ in range(9))
    assert not any(circuit.failed(10.0, 10.0) for _ in range(9))
    assert circuit.failed(11.0, 11.0)


def test_an_answer_to_an_older_request_does_not_close_it() -> None:
    circuit = Circuit(CircuitRule())
    assert circuit.trip(10.0)
    assert not circuit.trip(10.5)
    assert not circuit.answered(9.0, 11.0)
    assert circuit.answered(10.5, 11.0)
    assert not circuit.is_open


def test_one_probe_a_turn_whether_or_not_the_last_was_answered() -> None:
    circuit = Circuit(CircuitRule(seconds=2.0))
    circuit.trip(10.0)
    assert [circuit.wait(now) for now in (10.5, 12.0, 12.5, 13.9, 14.0)] == [1.5, 0.0, 1.5, pytest.approx(0.1), 0.0]


# Ejection


@pytest.mark.parametrize("how", ["refuses", "resets", "garbage"])
async def test_a_target_that_fails_is_put_aside_and_comes_back(
    u: StartUpstream, make_pool: MakePool, clock: Hands, how: str
) -> None:
    good = await u()
    scripts = {"resets": resetting, "garbage": says(b"HELLO\r\n\r\n")}
    bad = await u(scripts[how]) if how in scripts else None
    port = unused_port()
    address = bad.address if bad is not None else f"http://127.0.0.1:{port}"
    pool = make_pool(address, good, ejection=TWICE, circuit=NEVER, now=clock)
    outcomes = await asyncio.gather(*[pool.send(GET) for _ in range(4)], return_exceptions=True)
    if bad is not None:
        assert len([outcome for outcome in outcomes if isinstance(outcome, UpstreamUnavailable)]) == 2
        asked = len(bad.requests)
    assert ups(pool) == [False, True]
    for _ in range(6):
        assert (await pool.send(GET)).status == 200
    if bad is not None:
        assert len(bad.requests) == asked, "aside means aside"
        bad.script = answering
        clock.time += 10.0
        assert ups(pool) == [True, True]
        for _ in range(4):
            assert (await pool.send(GET)).status == 200
        assert len(bad.requests) == asked + 2
    else:
        async with Upstream(port=port) as again:
            clock.time += 10.0
            for _ in range(4):
                assert (await pool.send(GET)).status == 200
            assert len(again.requests) == 2
            await pool.close()


async def test_a_target_that_fails_again_stays_away_longer(u: StartUpstream, make_pool: MakePool, clock: Hands) -> None:
    bad, good = await u(resetting), await u()
    pool = make_pool(bad, good, ejection=TWICE, circuit=NEVER, now=clock)
    away: list[float] = []
    for _ in range(4):
        while ups(pool) == [True, True]:
            await asyncio.gather(pool.send(GET), pool.send(GET), return_exceptions=True)
        begun = clock.time
        while ups(pool) == [False, True]:
            clock.time += 1.0
        away.append(clock.time - begun)
    assert away == [10.0, 30.0, 50.0, 50.0]


async def test_time_outs_put_a_target_aside(u: StartUpstream, make_pool: MakePool, clock: Hands) -> None:
    async def silent(wire: Wire) -> None:
        await wire.until_closed()

    pool = make_pool(await u(silent), await u(), ejection=TWICE, first_byte_timeout=0.1, now=clock)
    outcomes = await asyncio.gather(*[pool.send(GET) for _ in range(4)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(UpstreamTimeout) == 2
    assert ups(pool) == [False, True]


@pytest.mark.parametrize(("failing", "expected"), [(frozenset(), [True, True]), (frozenset({503}), [False, True])])
async def test_bad_statuses_count_only_where_they_are_named_and_reach_the_client_anyway(
    u: StartUpstream, make_pool: MakePool, clock: Hands, failing: frozenset[int], expected: list[bool]
) -> None:
    async def busy(wire: Wire) -> None:
        while await wire.request() is not None:
            await wire.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    pool = make_pool(await u(busy), await u(), ejection=TWICE, failing=failing, now=clock)
    statuses = [(await pool.send(GET)).status for _ in range(4)]
    assert statuses == [503, 200, 503, 200]
    assert ups(pool) == expected


async def test_a_client_that_breaks_its_own_body_does_not_count_against_the_target(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("the client's fault")

    pool = make_pool(
        await u(), await u(), ejection=EjectionRule(failures=1), circuit=CircuitRule(requests=1), now=clock
    )
    for _ in range(4):
        with pytest.raises(ValueError, match="client"):
            await pool.send(OutboundRequest("POST", "/", [HOST], broken()))
    assert ups(pool) == [True, True]
    assert (await pool.send(GET)).status == 200


async def test_callers_who_leave_do_not_count_against_the_target(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    async def silent(wire: Wire) -> None:
        await wire.until_closed()

    both = [await u(silent), await u(silent)]
    pool = make_pool(*both, ejection=EjectionRule(failures=1), now=clock)
    for number in range(1, 5):
        task = asyncio.create_task(pool.send(GET))
        await until(lambda number=number: sum(len(upstream.wires) for upstream in both) == number)
        task.cancel()
        await asyncio.wait({task})
    assert ups(pool) == [True, True]


# The last target, and the circuit


async def test_the_last_target_is_never_put_aside_but_the_circuit_opens(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    upstream = await u(resetting)
    pool = make_pool(upstream, ejection=TWICE, circuit=CircuitRule(requests=0, seconds=2.0), now=clock)
    for _ in range(2):
        assert not isinstance(await fails(pool), CircuitOpen)
    for _ in range(5):
        refused = await fails(pool)
        assert isinstance(refused, CircuitOpen)
        assert refused.retry_after == 2.0
    assert len(upstream.requests) == 2, "refused at once, without asking"
    assert ups(pool) == [False]
    clock.time += 2.0
    assert ups(pool) == [True], "whoever asks now finds out"


async def test_half_open_lets_one_request_through_and_an_answer_closes(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    upstream = await u(resetting)
    pool = make_pool(upstream, ejection=TWICE, circuit=CircuitRule(requests=0, seconds=2.0), now=clock)
    for _ in range(2):
        await fails(pool)
    clock.time += 2.0
    outcomes = await asyncio.gather(*[pool.send(GET) for _ in range(10)], return_exceptions=True)
    assert [isinstance(outcome, CircuitOpen) for outcome in outcomes].count(False) == 1
    assert len(upstream.requests) == 3, "the probe failed: open for another turn"
    assert isinstance(await fails(pool), CircuitOpen)
    upstream.script = answering
    clock.time += 2.0
    outcomes = await asyncio.gather(*[pool.send(GET) for _ in range(10)], return_exceptions=True)
    assert [isinstance(outcome, CircuitOpen) for outcome in outcomes].count(False) == 1
    for _ in range(10):
        assert (await pool.send(GET)).status == 200
    assert len(upstream.requests) == 14


async def test_a_probe_that_hangs_keeps_nobody_out_for_longer_than_its_turn(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == b"/slow":
                await wire.until_closed()
            await wire.send(OK)

    upstream = await u(resetting)
    pool = make_pool(upstream, ejection=TWICE, circuit=CircuitRule(requests=0, seconds=2.0), now=clock)
    for _ in range(2):
        await fails(pool)
    upstream.script = script
    clock.time += 2.0
    probe = asyncio.create_task(pool.send(OutboundRequest("GET", "/slow", [HOST])))
    await until(lambda: len(upstream.requests) == 3)
    assert isinstance(await fails(pool), CircuitOpen)
    clock.time += 2.0
    assert (await pool.send(GET)).status == 200
    assert (await pool.send(GET)).status == 200
    probe.cancel()
    await asyncio.wait({probe})


async def test_when_all_fail_the_last_one_is_probed_and_the_others_come_back_in_their_time(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    both = [await u(resetting), await u(resetting)]
    pool = make_pool(*both, ejection=TWICE, circuit=CircuitRule(requests=0, seconds=1.0), now=clock)
    for _ in range(4):
        await asyncio.gather(pool.send(GET), return_exceptions=True)
    assert ups(pool) == [False, False]
    assert isinstance(await fails(pool), CircuitOpen)
    for upstream in both:
        upstream.script = answering
    clock.time += 10.0
    assert ups(pool) == [True, True]
    for _ in range(6):
        assert (await pool.send(GET)).status == 200
    assert all(upstream.requests[2:] for upstream in both)


async def test_targets_that_were_all_put_aside_are_asked_all_the_same(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    """As when active checks take out the one that was left."""
    up, down = await u(), await u()
    pool = make_pool(up, down, ejection=TWICE, now=clock)
    pool._targets[0].record.eject(clock())
    pool._targets[1].down = True
    assert ups(pool) == [False, False]
    clock.time += 1.0
    assert (await pool.send(GET)).status == 200
    assert ups(pool) == [True, False]


async def test_a_share_of_failures_opens_the_circuit_over_all_targets(
    u: StartUpstream, make_pool: MakePool, clock: Hands
) -> None:
    async def every_other(wire: Wire) -> None:
        if await wire.request() is None:
            return
        if len(wire.upstream.requests) % 2:
            wire.reset()
        else:
            await wire.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    both = [await u(every_other), await u(every_other)]
    pool = make_pool(*both, circuit=CircuitRule(share=0.5, requests=10, seconds=1.0), now=clock)
    outcomes = [(await asyncio.gather(pool.send(POST), return_exceptions=True))[0] for _ in range(20)]
    assert all(target.up(clock()) for target in pool._targets), "none failed often enough in a row"
    refused = [isinstance(outcome, CircuitOpen) for outcome in outcomes]
    assert refused == [False] * (20 - refused.count(True)) + [True] * refused.count(True)
    assert refused.count(True) >= 8


# Retries (security 4)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("retries", "status"), [(0, None), (1, None), (2, 200), (3, 200)])
async def test_a_connection_that_cannot_be_made_is_tried_at_so_many_other_targets(
    u: StartUpstream, make_pool: MakePool, retries: int, status: int | None, method: str
) -> None:
    """Nothing was sent, so every method may move on."""
    dead = [f"http://127.0.0.1:{unused_port()}" for _ in range(2)]
    upstream = await u()
    pool = make_pool(*dead, upstream, retries=retries)
    request = OutboundRequest(method, "/", [HOST], None if method == "GET" else b"x")
    if status is None:
        await fails(pool, request)
    else:
        assert (await pool.send(request)).status == status
    assert len(upstream.requests) == (0 if status is None else 1)


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_what_was_sent_on_a_new_connection_is_never_sent_again(
    u: StartUpstream, make_pool: MakePool, request_: OutboundRequest
) -> None:
    """security 4: counted at U, over both targets"""
    both = [await u(resetting), await u(resetting)]
    pool = make_pool(*both, retries=5, circuit=NEVER, ejection=EjectionRule(failures=0))
    for number in range(1, 7):
        await fails(pool, request_)
        assert sum(len(upstream.requests) for upstream in both) == number


async def test_a_post_on_a_dead_kept_connection_is_sent_once_over_all_targets(
    u: StartUpstream, make_pool: MakePool
) -> None:
    """security 4"""

    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        wire.reset()

    both = [await u(once), await u(once)]
    pool = make_pool(*both, retries=5)
    for _ in range(2):
        await pool.send(GET)
    for _ in range(2):
        await fails(pool, POST)
    assert [[request.method for request in upstream.requests] for upstream in both] == [[b"GET", b"POST"]] * 2


async def test_without_retries_a_dead_kept_connection_costs_even_a_get(u: StartUpstream, make_pool: MakePool) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        wire.reset()

    upstream = await u(once)
    pool = make_pool(upstream, retries=0)
    await pool.send(GET)
    await fails(pool)
    assert len(upstream.requests) == 2


async def test_a_time_out_is_never_tried_again(u: StartUpstream, make_pool: MakePool) -> None:
    async def silent(wire: Wire) -> None:
        await wire.request()
        await wire.until_closed()

    slow, other = await u(silent), await u()
    pool = make_pool(slow, other, retries=5, first_byte_timeout=0.2)
    with pytest.raises(UpstreamTimeout):
        await pool.send(GET)
    assert (len(slow.requests), len(other.requests)) == (1, 0)
