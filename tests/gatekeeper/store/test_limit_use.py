"""gatekeeper/store/limit_use.py: the greatest uses of limits, out of the windows that requests have left in Redis."""

import pytest
from factories import NOW

from admin.limit_use import Use
from gatekeeper.store import limit_use
from gatekeeper.store.limit_use import RedisLimitUse
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.sessions import Question
from policies.rates import Counted, Limit

PER_MINUTE, PER_HOUR = Limit("default", 100, 60), Limit("hourly", 1000, 3600, more=((5000, 86_400),))


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


async def test_the_greatest_come_first_and_what_has_moved_out_of_the_window_does_not_count(redis):
    for who, times in (("192.0.2.1", 2), ("2001:db8::/64", 5), ("192.0.2.3", 1)):
        await _count(redis, PER_MINUTE, who, times, NOW)
    await _count(redis, PER_MINUTE, "192.0.2.9", 9, NOW - 600)
    await _count(redis, PER_HOUR, "ada", 3, NOW)
    await _count(redis, Limit("gone", 5, 60), "192.0.2.1", 1, NOW)
    used = await RedisLimitUse(redis).most([PER_MINUTE, PER_HOUR], NOW, count=2)
    assert used.whole
    assert used.most == {"default": [Use("2001:db8::/64", 5), Use("192.0.2.1", 2)], "hourly": [Use("ada", 3)]}
    later = await RedisLimitUse(redis).most([PER_MINUTE], NOW - NOW % 60 + 60 + 30, count=9)
    assert later.most["default"] == [Use("2001:db8::/64", 2), Use("192.0.2.1", 1)]


async def test_no_more_is_looked_at_than_the_bound_and_that_is_said(redis, monkeypatch):
    monkeypatch.setattr(limit_use, "_STEP", 10)
    monkeypatch.setattr(limit_use, "_MOST_STEPS", 2)
    for number in range(200):
        await redis.call("HSET", f"gate:l:default:{{192.0.2.{number}}}", "i", int(NOW // 60), "c", number % 2 or "x")
    used = await RedisLimitUse(redis).most([PER_MINUTE], NOW, count=500)
    assert not used.whole
    assert len(used.most.get("default", ())) < 100
