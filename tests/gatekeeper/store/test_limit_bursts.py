"""Bursts over many connections to one Valkey, as from the workers of several gates: exactly the limit is let through.

tests/gatekeeper/surfaces/test_bursts.py does the same over whole gates, in the full tests.
"""

import asyncio
from contextlib import AsyncExitStack

import limits
import pytest
from factories import NOW

from gatekeeper.clock import SystemClock
from gatekeeper.identity.limits import LimitsCounter, Rate
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.sessions import Question
from policies.rates import Counted, Limit, LimitBy

WORKERS = 8


@pytest.fixture
async def workers(redis_url):
    """Connections of as many workers."""
    async with AsyncExitStack() as stack:
        opened = [Redis(redis_url, timeout=60.0) for _ in range(WORKERS)]
        for redis in opened:
            await redis.open()
            stack.push_async_callback(redis.close)
        yield opened


async def burst(workers, use, requests, now=NOW):
    """How many of the requests, from all workers at once, were within the limit."""
    stores = [RedisSessions(redis, user_life=1000.0) for redis in workers]

    async def ask(store):
        facts = await store.ask(Question(now, rule_limit=use))
        await asyncio.sleep(0)  # several ticks
        return facts.rule.allowed

    asked = (ask(stores[number % WORKERS]) for number in range(requests))
    return sum(await asyncio.gather(*asked))


async def test_a_burst_from_eight_workers_is_let_through_up_to_the_limit(workers):
    use = Counted(Limit("burst", 123, 3600, LimitBy.RULE), "*")
    assert await burst(workers, use, 2000) == 123
    assert await burst(workers, use, 100) == 0


async def test_so_is_one_under_several_windows_which_then_hold_the_same_count(workers):
    use = Counted(Limit("burst", 50, 60, LimitBy.RULE, more=((70, 3600), (1000, 86400))), "*")
    start = NOW - NOW % 86400 + 10
    assert await burst(workers, use, 1000, start) == 50
    assert await burst(workers, use, 1000, start + 120) == 20
    assert await burst(workers, use, 1000, start + 240) == 0


async def test_the_tolerance_is_what_the_window_before_still_covers(workers):
    """The count of the window before weighs by how much of it the sliding window still covers."""
    start = NOW - NOW % 3600
    use = Counted(Limit("slide", 100, 3600, LimitBy.RULE), "*")
    assert await burst(workers, use, 500, start + 3599) == 100
    assert await burst(workers, use, 500, start + 3600) == 0
    assert await burst(workers, use, 500, start + 3600 + 900) == 25
    assert await burst(workers, use, 500, start + 3600 + 1800) == 25


async def test_counts_of_different_callers_do_not_touch(workers):
    uses = [Counted(Limit("each", 7, 3600), f"192.0.2.{number}") for number in range(20)]
    counts = await asyncio.gather(*(burst(workers, use, 60) for use in uses))
    assert counts == [7] * 20


async def test_attempts_at_once_are_let_through_up_to_the_limit(workers):
    """The counter of logins and codes, which is the limits library's."""
    rate = Rate(limits.parse("20 per year"))
    counters = [LimitsCounter(redis.limits_storage) for redis in workers]
    year = 365 * 86400
    begun = SystemClock.now() // year
    waits = await asyncio.gather(*(counters[number % WORKERS].take(rate, "login", "a") for number in range(300)))
    windows = 1 + SystemClock.now() // year - begun  # over New Year of the library's years there are two
    assert 20 <= waits.count(None) <= 20 * windows
