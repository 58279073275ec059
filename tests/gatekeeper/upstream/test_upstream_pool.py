"""Which connection carries which request: turns, limits, retries, and nothing lost when callers leave."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, RecordedRequest, Wire, answering, echoing, plays, unused_port

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.messages import OutboundRequest
from gatekeeper.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])


def get(target: str) -> OutboundRequest:
    return OutboundRequest("GET", target, [HOST])


async def until(condition: Callable[[], object]) -> None:
    """Give the loop turns until it holds; pytest's own time limit is the deadline."""
    while not condition():  # noqa: ASYNC110 - counts have no event to wait for
        await asyncio.sleep(0.001)


async def dead_target() -> str:
    return f"http://127.0.0.1:{unused_port()}"


async def test_one_connection_serves_one_caller_after_the_other(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(echoing)
    pool = make_pool(upstream)
    for number in range(20):
        assert (await pool.send(get(f"/{number}"))).complete_body == b"GET /%d " % number
    assert len(upstream.wires) == 1
    assert (pool.stats.open, pool.stats.idle) == (1, 1)


async def test_the_connection_used_last_is_used_first(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(echoing)
    pool = make_pool(upstream)
    await asyncio.gather(*[pool.send(GET) for _ in range(4)])
    assert pool.stats.idle == 4
    counts = [len(wire.requests) for wire in upstream.wires]
    for _ in range(10):
        await pool.send(GET)
    grown = [len(wire.requests) - before for wire, before in zip(upstream.wires, counts, strict=True)]
    assert sorted(grown) == [0, 0, 0, 10]


async def test_unix_sockets_are_spoken_to(u: StartUpstream, make_pool: MakePool, tmp_path: Path) -> None:
    upstream = await u(path=str(tmp_path / "u"))
    assert (await make_pool(upstream).send(GET)).status == 200


async def test_targets_take_turns(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u() for _ in range(3)]
    pool = make_pool(*ups)
    for _ in range(9):
        await pool.send(GET)
    assert [len(up.requests) for up in ups] == [3, 3, 3]
    assert [len(up.wires) for up in ups] == [1, 1, 1]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_moves_on_from_a_target_that_refuses(
    u: StartUpstream, make_pool: MakePool, method: str
) -> None:
    """Nothing was sent, so every method may move on."""
    upstream = await u()
    pool = make_pool(await dead_target(), upstream)
    request = OutboundRequest(method, "/", [HOST], None if method == "GET" else b"body")
    for _ in range(5):
        assert (await pool.send(request)).status == 200
    assert len(upstream.requests) == 5


async def test_a_streamed_body_survives_a_target_that_refuses(u: StartUpstream, make_pool: MakePool) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"hello"

    upstream = await u(echoing)
    pool = make_pool(await dead_target(), upstream)
    assert (await pool.send(OutboundRequest("POST", "/", [HOST], body()))).complete_body == b"POST / hello"


async def test_a_name_that_does_not_resolve_is_unavailable(make_pool: MakePool) -> None:
    pool = make_pool("http://no-such-host.invalid")
    with pytest.raises(UpstreamUnavailable, match="cannot connect"):
        await pool.send(GET)


async def test_a_target_that_takes_no_connection_is_a_timeout(
    u: StartUpstream, make_pool: MakePool, certificates: object
) -> None:
    async def silent(wire: Wire) -> None:
        await wire.until_closed()

    upstream = await u(silent)
    pool = make_pool(upstream.address.replace("http", "https"), connect_timeout=0.3)
    with pytest.raises(UpstreamTimeout, match="no connection in time"):
        await pool.send(GET)
    assert pool.stats.open == 0


# Retries (security 4)


async def kept_alive_once(wire: Wire) -> None:
    """The first connection answers once and dies at the second request; later ones answer."""
    if wire.number:
        await answering(wire)
    else:
        await wire.request()
        await wire.send(OK)
        await wire.head()
        wire.reset()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_kept_alive_connection_that_died_costs_a_safe_request_nothing(
    u: StartUpstream, make_pool: MakePool, method: str
) -> None:
    upstream = await u(kept_alive_once)
    pool = make_pool(upstream)
    await pool.send(GET)
    assert (await pool.send(OutboundRequest(method, "/again", [HOST]))).status == 200
    assert [request.target for request in upstream.requests] == [b"/", b"/again", b"/again"]


async def one_part() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "GET"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_request_with_a_body_or_an_effect_is_never_sent_twice(
    u: StartUpstream, make_pool: MakePool, method: str, streamed: bool
) -> None:
    """security 4."""
    upstream = await u(kept_alive_once)
    pool = make_pool(upstream)
    await pool.send(GET)
    with pytest.raises(UpstreamUnavailable):
        await pool.send(OutboundRequest(method, "/once", [HOST], one_part() if streamed else b"x"))
    assert [request.target for request in upstream.requests] == [b"/", b"/once"]


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT"])
async def test_unsafe_methods_without_a_body_are_not_sent_twice_either(
    u: StartUpstream, make_pool: MakePool, method: str
) -> None:
    upstream = await u(kept_alive_once)
    pool = make_pool(upstream)
    await pool.send(GET)
    with pytest.raises(UpstreamUnavailable):
        await pool.send(OutboundRequest(method, "/once", [HOST]))
    assert len(upstream.requests) == 2


async def test_no_request_is_sent_again_after_the_first_byte_of_an_answer(
    u: StartUpstream, make_pool: MakePool
) -> None:
    """security 4."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.head()
        await wire.send(b"H")

    upstream = await u(script)
    pool = make_pool(upstream)
    await pool.send(GET)
    with pytest.raises(UpstreamUnavailable):
        await pool.send(GET)
    assert len(upstream.requests) == 2


async def test_a_retry_uses_a_new_connection_and_happens_once(u: StartUpstream, make_pool: MakePool) -> None:
    """All kept-alive connections are dead, as after a restart of the upstream."""
    alive: list[bool] = []

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        if not alive:
            await wire.head()
            wire.reset()
        await answering(wire)

    upstream = await u(script)
    pool = make_pool(upstream)
    await asyncio.gather(*[pool.send(GET) for _ in range(5)])
    alive.append(True)
    assert (await pool.send(GET)).status == 200
    assert len(upstream.wires) == 6


async def test_a_connection_closed_while_idle_is_not_used(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u(plays(OK))
    pool = make_pool(upstream)
    for _ in range(3):
        assert (await pool.send(OutboundRequest("POST", "/", [HOST], b"x"))).status == 200
        await until(lambda: pool.stats.open == 0)
    assert len(upstream.wires) == 3


async def test_a_connection_that_is_closing_is_not_handed_out(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    pool = make_pool(upstream)
    await pool.send(GET)
    (connection,) = pool._sockets
    connection._transport.close()
    assert (await pool.send(OutboundRequest("POST", "/", [HOST], b"x"))).status == 200
    assert len(upstream.wires) == 2


# Limits


class Gated:
    """An upstream that answers when told to; counts the requests at work."""

    def __init__(self) -> None:
        self.at_work = 0
        self.most = 0
        self.open = asyncio.Event()

    async def script(self, wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await self.open.wait()
            self.at_work -= 1
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.target) + request.target)


async def test_no_more_connections_are_opened_than_allowed_and_waiters_go_in_order(
    u: StartUpstream, make_pool: MakePool
) -> None:
    gated = Gated()
    upstream = await u(gated.script)
    pool = make_pool(upstream, max_connections=3)
    done: list[int] = []

    async def one(number: int) -> None:
        assert (await pool.send(get(f"/{number}"))).complete_body == b"/%d" % number
        done.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(30)]
    await until(lambda: gated.at_work == 3)
    assert (pool.stats.open, pool.stats.idle, pool.stats.waiting) == (3, 0, 27)
    gated.open.set()
    await asyncio.gather(*tasks)
    assert gated.most == 3
    assert len(upstream.wires) == 3
    order = [int(request.target[1:]) for request in upstream.requests]
    assert all(abs(place - number) <= 3 for place, number in enumerate(order)), order
    assert (pool.stats.open, pool.stats.idle, pool.stats.waiting) == (3, 3, 0)


async def test_a_full_queue_is_unavailable_and_a_long_wait_a_timeout(u: StartUpstream, make_pool: MakePool) -> None:
    gated = Gated()
    pool = make_pool(await u(gated.script), max_connections=1, max_waiting=1, connect_timeout=0.5)
    first = asyncio.create_task(pool.send(GET))
    await until(lambda: gated.at_work)
    second = asyncio.create_task(pool.send(GET))
    await until(lambda: pool.stats.waiting)
    with pytest.raises(UpstreamUnavailable, match="too many"):
        await pool.send(GET)
    with pytest.raises(UpstreamTimeout, match="no connection became free"):
        await second
    assert pool.stats.waiting == 0
    gated.open.set()
    assert (await first).status == 200


async def test_a_full_target_is_passed_over(u: StartUpstream, make_pool: MakePool) -> None:
    gated, free = Gated(), await u()
    pool = make_pool(await u(gated.script), free, max_connections=1)
    first = asyncio.create_task(pool.send(GET))
    await until(lambda: gated.at_work)
    for _ in range(4):
        assert (await pool.send(GET)).status == 200
    assert len(free.requests) == 4
    gated.open.set()
    await first


async def test_a_waiter_gets_the_slot_of_a_connection_that_closed(u: StartUpstream, make_pool: MakePool) -> None:
    gated = Gated()

    async def script(wire: Wire) -> None:
        if wire.number:
            await answering(wire)
        else:
            await wire.request()
            await gated.open.wait()
            wire.reset()

    pool = make_pool(await u(script), max_connections=1)
    first = asyncio.create_task(pool.send(GET))
    rest = [asyncio.create_task(pool.send(GET)) for _ in range(3)]
    await until(lambda: pool.stats.waiting == 3)
    gated.open.set()
    with pytest.raises(UpstreamUnavailable):
        await first
    assert [response.status for response in await asyncio.gather(*rest)] == [200] * 3


async def test_waiters_of_a_dead_target_are_all_told(make_pool: MakePool) -> None:
    pool = make_pool(await dead_target(), max_connections=2)
    results = await asyncio.gather(*[pool.send(GET) for _ in range(20)], return_exceptions=True)
    assert all(isinstance(result, UpstreamUnavailable) for result in results), results
    assert (pool.stats.open, pool.stats.waiting) == (0, 0)


# Closing


async def test_closing_ends_requests_waiters_and_connections(u: StartUpstream, make_pool: MakePool) -> None:
    gated = Gated()
    upstream = await u(gated.script)
    pool = make_pool(upstream, max_connections=2)
    tasks = [asyncio.create_task(pool.send(GET)) for _ in range(5)]
    await until(lambda: gated.at_work == 2)
    await pool.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, UpstreamUnavailable) for result in results), results
    with pytest.raises(UpstreamUnavailable, match="shutting down"):
        await pool.send(GET)
    await pool.close()


async def test_a_pool_without_targets_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="target"):
        UpstreamPool("api", [])


async def test_a_malformed_request_takes_no_connection(u: StartUpstream, make_pool: MakePool) -> None:
    upstream = await u()
    pool = make_pool(upstream)
    with pytest.raises(ValueError, match="line break"):
        await pool.send(OutboundRequest("GET", "/", [HOST, (b"X", b"a\r\nb")]))
    assert (pool.stats.open, upstream.wires) == (0, [])


# Cancellation (security 27)


async def moody(wire: Wire) -> None:
    """Echoes in every framing, whole or in pieces, at once or later, sometimes closing or resetting instead."""
    rng = random.Random(wire.number)
    while (request := await wire.request()) is not None:
        mood = rng.random()
        for _ in range(rng.choice([0, 0, 0, 1, 3, 8])):
            await asyncio.sleep(0)
        if mood < 0.02:
            wire.reset()
            return
        answer = _echo(request, rng)
        if rng.random() < 0.5:
            await wire.send(answer)
        else:
            await wire.dribble(answer, size=rng.randrange(5, 60))
        if mood < 0.05:
            return


def _echo(request: RecordedRequest, rng: random.Random) -> bytes:
    body = request.target + b"|" + request.body + b"|" + b"." * rng.choice([0, 10, 3000])
    if rng.random() < 0.5:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    half = max(1, len(body) // 2)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


async def caller(pool: UpstreamPool, number: int, rng: random.Random) -> bool:
    """Send one request and check that every byte of the answer is for it; whether it was answered."""
    token = b"/r%d" % number
    body: bytes | AsyncIterator[bytes] | None = None
    content = b""
    kind = rng.random()
    if kind < 0.2:
        body = content = b"b%d" % number
    elif kind < 0.4:
        content = b"s%d" % number

        async def streamed() -> AsyncIterator[bytes]:
            yield content[:1]
            await asyncio.sleep(0)
            yield content[1:]

        body = streamed()
    request = OutboundRequest("POST" if content else "GET", token.decode(), [HOST], body)
    try:
        response = await pool.send(request)
        received = b""
        try:
            while part := await response.read():
                received += part
        finally:
            response.release()
    except UpstreamUnavailable:
        return False
    assert received.rstrip(b".") == token + b"|" + content + b"|", "an answer for somebody else"
    return True


async def cancel_many(pool: UpstreamPool, total: int, at_once: int) -> tuple[int, int]:
    """Callers that leave at random points; returns how many were answered and how many left."""
    rng = random.Random(27)
    answered = left = 0

    async def one(number: int) -> None:
        nonlocal answered, left
        task = asyncio.create_task(caller(pool, number, rng))
        patience = rng.choice([0, 1, 2, 3, 5, 8, 12, 20, 40, 1_000_000])
        while patience and not task.done():
            patience -= 1
            await asyncio.sleep(0)
        task.cancel()
        try:
            answered += await task
        except asyncio.CancelledError:
            left += 1

    numbers = iter(range(total))

    async def lane() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*[lane() for _ in range(at_once)])
    return answered, left


async def test_ten_thousand_callers_who_leave_never_get_each_others_answers(
    u: StartUpstream, make_pool: MakePool
) -> None:
    """security 27: and every slot comes back."""
    pool = make_pool(await u(moody), await u(moody), max_connections=12)
    answered, left = await cancel_many(pool, total=10_000, at_once=40)
    assert answered > 500
    assert left > 2000
    await until(lambda: pool.stats.open == pool.stats.idle)
    assert pool.stats.waiting == 0
    assert len(pool._target_of) == pool.stats.open <= 24
    await until(lambda: len(pool._sockets) == pool.stats.open)
    still_works = [await caller(pool, 1_000_000 + number, random.Random(number)) for number in range(50)]
    assert any(still_works)
    gc.collect()  # what was never awaited or retrieved complains when it is collected: make_pool asks
