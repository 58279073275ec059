"""gatekeeper/store/redis.py: what the store's other modules see of Redis."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import limits
import pytest
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.redis import Event, Redis

CALM = 30.0  # a time-out for tests that are not about time-outs


async def test_a_command_returns_bytes_numbers_lists_or_none(redis: Redis) -> None:
    assert await redis.call("SET", "k", "v\r\n\0ü") == b"OK"
    assert await redis.call("GET", "k") == "v\r\n\0ü".encode()
    assert await redis.call("GET", "missing") is None
    assert await redis.call("INCRBY", "n", 3) == 3
    assert await redis.call("MGET", "n", "missing", b"n") == [b"3", None, b"3"]


@pytest.mark.parametrize("command", ["MULTI", "SUBSCRIBE", "BLPOP", "SELECT", "MONITOR", "QUIT"])
async def test_commands_that_would_disturb_the_others_are_refused(redis: Redis, command: str) -> None:
    with pytest.raises(ValueError, match="connection of its own"):
        await redis.call(command, "x")


async def test_before_it_is_opened_and_after_it_is_closed_calls_fail(valkey: Any) -> None:
    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM)
    with pytest.raises(StoreUnavailable):
        await redis.call("PING")
    await redis.open()
    await redis.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await redis.call("PING")


async def test_closing_fails_the_calls_under_way(valkey: Any, redis: Redis) -> None:
    valkey.pause()
    call = asyncio.create_task(redis.call("PING"))
    await asyncio.sleep(0)
    await redis.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await call


async def test_the_eviction_policy_is_known(make_valkey: Any, redis: Redis) -> None:
    assert await redis.eviction_policy() == "noeviction"
    careless = make_valkey("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    other = Redis(careless.url, timeout=CALM, connect_timeout=CALM)
    await other.open()
    assert await other.eviction_policy() == "allkeys-lru"
    await other.close()


# Events


async def test_a_subscription_delivers_and_says_when_it_began(redis: Redis) -> None:
    async with contextlib.aclosing(redis.subscribe("bans", "users")) as events:
        assert {(await anext(events)).channel for _ in range(2)} == {"bans", "users"}
        await redis.call("PUBLISH", "users", b"\xff\0")
        assert await anext(events) == Event("users", b"\xff\0")


async def test_a_subscription_outlives_its_server_and_says_that_it_missed_something(
    valkey: Any, redis: Redis, eventually: Any
) -> None:
    async with contextlib.aclosing(redis.subscribe("bans")) as events, asyncio.timeout(60):
        assert await anext(events) == Event("bans", None)
        valkey.kill()
        valkey.start()
        assert await anext(events) == Event("bans", None)
        await eventually(lambda: redis.call("PUBLISH", "bans", "x"))
        assert await anext(events) == Event("bans", b"x")


async def test_a_subscription_to_a_frozen_server_is_made_anew(
    valkey: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatekeeper.store.redis._QUIET", 0.1)
    async with contextlib.aclosing(redis.subscribe("bans")) as events, asyncio.timeout(60):
        assert await anext(events) == Event("bans", None)
        valkey.pause()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)  # many quiet periods: it must have given up by then
        valkey.resume()
        assert await waiting == Event("bans", None)


async def test_a_quiet_subscription_is_kept(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatekeeper.store.redis._QUIET", 0.05)
    async with contextlib.aclosing(redis.subscribe("bans")) as events:
        assert await anext(events) == Event("bans", None)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.5)  # many quiet periods
        await redis.call("PUBLISH", "bans", "x")
        assert await waiting == Event("bans", b"x")


async def test_a_cancelled_subscriber_leaves_no_connection_behind(redis: Redis) -> None:
    started = asyncio.Event()

    async def listen() -> None:
        async with contextlib.aclosing(redis.subscribe("bans")) as events:
            async for _ in events:
                started.set()

    task = asyncio.create_task(listen())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        while await redis.call("PUBSUB", "NUMSUB", "bans") != [b"bans", 0]:  # noqa: ASYNC110  # the server's state
            await asyncio.sleep(0.01)


# The limits library


@pytest.mark.parametrize("strategy", [FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter])
async def test_limits_counts_through_the_shared_connection(redis: Redis, strategy: Any) -> None:
    limiter, rate = strategy(redis.limits_storage), limits.parse("5/hour")
    hits = await asyncio.gather(*(limiter.hit(rate, "login", "address") for _ in range(50)))
    assert hits.count(True) == 5
    assert not await limiter.test(rate, "login", "address")
    assert (await limiter.get_window_stats(rate, "login", "address")).remaining == 0
    await limiter.clear(rate, "login", "address")
    assert await limiter.test(rate, "login", "address")
    clients = (await redis.call("CLIENT", "LIST")).splitlines()
    assert len(clients) == 1


async def test_limits_reports_an_outage_as_ours(valkey: Any, redis: Redis) -> None:
    limiter, rate = FixedWindowRateLimiter(redis.limits_storage), limits.parse("5/hour")
    valkey.kill()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await limiter.hit(rate, "login", "address")
