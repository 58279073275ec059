"""gatekeeper/store/limit_use.py: the greatest uses of limits, out of the counters that requests and attempts have left
in Redis.
"""

import limits
import pytest
from factories import NOW

from admin.limit_use import Meter, Use
from admin.meters import of_attempts, of_requests
from gatekeeper.identity.limits import LimitsCounter, Rate
from gatekeeper.identity.tallies import LOGIN_ADDRESS, LOGIN_PAIR, OTP_MAILBOX, REGISTER
from gatekeeper.store import limit_use
from gatekeeper.store.limit_use import RedisLimitUse
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.sessions import Question
from policies.rates import Counted, Limit, LimitBy

PER_MINUTE = Limit("default", 100, 60)
PER_HOUR = Limit("hourly", 1000, 3600, LimitBy.USER, more=((4, 86_400),))
RATE = Rate(limits.parse("20/15 minutes"))


@pytest.fixture
async def redis(redis_url):
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    yield redis
    await redis.close()


async def _count(redis, limit, who, times, now):
    live = RedisSessions(redis, user_life=60.0)
    for _ in range(times):
        await live.ask(Question(now, address_limit=Counted(limit, who)))


async def _most(redis, *meters, now=NOW, count=9):
    return await RedisLimitUse(redis).most(meters, now, count=count)


async def test_the_greatest_come_first_and_what_has_moved_out_of_the_window_does_not_count(redis):
    for who, times in (("192.0.2.1", 2), ("2001:db8::/64", 5), ("192.0.2.3", 1)):
        await _count(redis, PER_MINUTE, who, times, NOW)
    await _count(redis, PER_MINUTE, "192.0.2.9", 9, NOW - 600)
    await _count(redis, Limit("gone", 5, 60), "192.0.2.1", 1, NOW)
    meter = of_requests(PER_MINUTE, "limits.default")
    used = await _most(redis, meter, count=2)
    assert used.whole
    assert used.looked == used.keys == 5
    assert used.most == {meter: [Use(("2001:db8::/64",), (5,)), Use(("192.0.2.1",), (2,))]}
    later = await _most(redis, meter, now=NOW - NOW % 60 + 60 + 30)
    assert later.most[meter] == [Use(("2001:db8::/64",), (2,)), Use(("192.0.2.1",), (1,))]


async def test_each_window_is_counted_and_who_is_nearest_to_any_of_them_comes_first(redis):
    await _count(redis, PER_HOUR, "ada", 3, NOW - 7200)
    await _count(redis, PER_HOUR, "ben", 2, NOW)
    meter = of_requests(PER_HOUR, "rules")
    used = await _most(redis, meter)
    assert used.most[meter] == [Use(("ada",), (0, 3)), Use(("ben",), (2, 2))]
    assert [use.share(meter) for use in used.most[meter]] == [0.75, 0.5]


async def test_attempts_are_read_as_the_library_counts_them(redis):
    counter = LimitsCounter(redis.limits_storage)
    for tally, who, times in (
        (LOGIN_ADDRESS, ("2001:db8::/64",), 3),
        (LOGIN_ADDRESS, ("192.0.2.1",), 7),
        (LOGIN_PAIR, ("an-account", "2001:db8::/64"), 2),
        (OTP_MAILBOX, ("verify-email", "0a" * 16), 1),
        (REGISTER, ("192.0.2.1",), 4),
    ):
        for _ in range(times):
            assert await counter.take(RATE, *tally.key(*who)) is None
    await counter.take(Rate(limits.parse("21/15 minutes")), *LOGIN_ADDRESS.key("192.0.2.1"))  # of a rate of before
    await counter.take(RATE, "unknown", "192.0.2.1")
    address, pair, mailbox, register = (
        of_attempts(tally, RATE.item) for tally in (LOGIN_ADDRESS, LOGIN_PAIR, OTP_MAILBOX, REGISTER)
    )
    used = await _most(redis, address, pair, mailbox, register)
    assert used.most == {
        address: [Use(("192.0.2.1",), (7,)), Use(("2001:db8::/64",), (3,))],
        pair: [Use(("an-account", "2001:db8::/64"), (2,))],
        mailbox: [Use(("verify-email", "0a" * 16), (1,))],
        register: [Use(("192.0.2.1",), (4,))],
    }


@pytest.mark.parametrize(("left", "counted"), [(1500, 6 + 2), (1200, 6 + 1), (600, 4), (899, 6)])
async def test_the_window_before_counts_by_what_is_left_of_it(redis, left, counted):
    key, meter = "LIMITS:{LIMITER/register/192.0.2.1/20/15/minute}", of_attempts(REGISTER, RATE.item)
    # In the words of the library: with more than a window to live it is the window of now, else the one before.
    await redis.call("SET", key, 6, "EX", left)
    await redis.call("SET", f"{key}/-1", 4, "EX", max(left - 900, 1))
    if left < 900:
        await redis.call("SET", key, 7, "EX", left)
    assert (await _most(redis, meter)).most[meter] == [Use(("192.0.2.1",), (counted,))]


async def test_a_walk_goes_on_where_it_was_and_looks_again_at_who_was_found(redis, monkeypatch):
    monkeypatch.setattr(limit_use, "_STEP", 10)
    monkeypatch.setattr(limit_use, "_MOST_STEPS", 2)
    for number in range(200):
        await redis.call("HSET", f"gate:l:default:{{192.0.2.{number}}}", "i", int(NOW // 60), "c", number % 50 or "x")
    await redis.call("SET", "gate:l:default:{no hash}", "x")
    await redis.call("LPUSH", "LIMITS:{LIMITER/register/192.0.2.1/20/15/minute}", "x")
    meters = [of_requests(PER_MINUTE, "limits.default"), of_attempts(REGISTER, RATE.item)]
    reader = RedisLimitUse(redis)
    used = await reader.most(meters, NOW, count=4)
    assert (used.whole, used.keys) == (False, 202)
    assert 0 < used.looked < 100
    for _ in range(30):
        if not used.whole:
            used = await reader.most(meters, NOW, count=4)
    assert (used.whole, used.looked) == (True, 202)
    assert [use.counts for use in used.most[meters[0]]] == [(49,)] * 4
    assert not (await reader.most(meters, NOW + 3600, count=4)).whole
    assert meters[1] not in used.most


async def test_a_limit_without_counters_has_no_uses(redis):
    meter = Meter("default", "limits.default", "x", (), ((1, 60),))
    assert (await _most(redis, meter)).most == {}
