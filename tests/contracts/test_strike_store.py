"""What every StrikeStore must do, in memory and in Redis (strike.lua)."""

import asyncio
from dataclasses import replace

import pytest
from factories import NOW

from gatekeeper.store.ban_words import RedisStrikes
from gatekeeper.store.redis import Redis
from policies.bans import Penalty, Source
from policies.strikes import LocalStrikes, Strike, Threshold

PENALTY = Penalty(first=60.0, growth=2.0, longest=600.0)


@pytest.fixture(params=["memory", "redis"])
async def strikes(request):
    if request.param == "memory":
        yield LocalStrikes()
        return
    redis = Redis(request.getfixturevalue("redis_url"), timeout=30.0)
    await redis.open()
    yield RedisStrikes(redis)
    await redis.close()


def strike(what, who="192.0.2.1", source=Source.FAILURES, after=3, within=100.0):
    return Strike(source, who, str(what), Threshold(after, within))


async def levels(strikes, *given, now=NOW):
    return [await strikes.strike(one, PENALTY, now) for one in given]


async def test_the_offence_that_reaches_the_threshold_makes_the_ban(strikes):
    assert await levels(strikes, *map(strike, "abc")) == [0, 0, 1]


async def test_each_offence_counts_for_one_ban_only(strikes):
    assert await levels(strikes, *map(strike, "abcdef")) == [0, 0, 1, 0, 0, 2]


async def test_the_same_offence_counts_once(strikes):
    assert await levels(strikes, *map(strike, "aaaabaab")) == [0] * 8
    assert await levels(strikes, strike("c")) == [1]


async def test_a_threshold_of_one_bans_at_once(strikes):
    assert await levels(strikes, strike("a", after=1), strike("b", after=1)) == [1, 2]


async def test_offenders_and_kinds_of_offences_are_counted_apart(strikes):
    other, kind = strike("x", who="192.0.2.2"), strike("x", source=Source.OTP)
    assert await levels(strikes, strike("a"), other, kind, strike("b"), replace(other, what="y")) == [0] * 5
    assert await levels(strikes, strike("c"), replace(other, what="z")) == [1, 1]


async def test_the_next_ban_of_any_kind_is_the_longer_one(strikes):
    assert await levels(strikes, strike("a", after=1), strike("b", source=Source.HONEYPOT, after=1)) == [1, 2]


async def test_what_is_older_than_the_window_does_not_count(strikes):
    await levels(strikes, strike("a"), now=NOW)
    await levels(strikes, strike("b"), now=NOW + 50)
    assert await levels(strikes, strike("c"), now=NOW + 100.5) == [0]
    assert await levels(strikes, strike("d"), now=NOW + 149.5) == [1]


async def test_what_is_exactly_as_old_as_the_window_still_counts(strikes):
    await levels(strikes, strike("a"), strike("b"), now=NOW)
    assert await levels(strikes, strike("c"), now=NOW + 100) == [1]


async def test_an_offence_repeated_is_as_young_as_its_last_time(strikes):
    await levels(strikes, strike("a"), now=NOW)
    await levels(strikes, strike("a"), now=NOW + 90)
    assert await levels(strikes, strike("b"), strike("c"), now=NOW + 150) == [0, 1]


@pytest.mark.parametrize(("later", "level"), [(0, 4), (599, 4), (600, 3), (1200, 2), (1800, 1), (9e6, 1), (-50, 4)])
async def test_one_ban_is_forgotten_for_each_longest_time_that_passes(strikes, later, level):
    assert await levels(strikes, *(strike(n, after=1) for n in range(3))) == [1, 2, 3]
    assert await levels(strikes, strike("again", after=1), now=NOW + later) == [level]


async def test_of_fifty_offences_at_once_one_makes_the_ban(strikes):
    given = (strikes.strike(strike(n, after=50), PENALTY, NOW) for n in range(50))
    assert sorted(await asyncio.gather(*given)) == [0] * 49 + [1]


async def test_of_a_hundred_offences_at_once_every_tenth_makes_one(strikes):
    given = (strikes.strike(strike(n, after=10), PENALTY, NOW) for n in range(100))
    assert sorted(await asyncio.gather(*given))[89:] == list(range(11))


async def test_nothing_of_an_offender_stays_for_ever_in_redis(redis_url):
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    store = RedisStrikes(redis)
    await levels(store, strike("a"), strike("b", source=Source.OTP, after=1))
    keys = await redis.call("KEYS", "*")
    assert len(keys) == 2
    lives = [await redis.call("TTL", key) for key in keys]
    await redis.close()
    assert all(0 < life <= 660 for life in lives)
