"""Connections that sessions hold, told by each worker and summed over all (issue 7.4)."""

import pytest

from gatekeeper.app.held import HeldKeeper
from gatekeeper.clock import ManualClock
from gatekeeper.store.held import RedisHeld
from gatekeeper.store.redis import Redis

NOW = 1_800_000_000.0


@pytest.fixture
async def redis(redis_url):
    store = Redis(redis_url, timeout=5.0)
    await store.open()
    yield store
    await store.close()


class Worker:
    """One whose connections a test opens and closes."""

    def __init__(self, redis, clock):
        self.held = {}
        self.keeper = HeldKeeper(lambda: dict(self.held), RedisHeld(redis, life=20.0), clock)

    async def tells(self, **held):
        self.held = held
        await self.keeper.tell()


async def test_what_workers_hold_is_summed_and_follows_what_opens_and_closes(redis):
    clock = ManualClock(NOW)
    one, two, held = Worker(redis, clock), Worker(redis, clock), RedisHeld(redis, life=20.0)
    await one.tells(ada=2, bob=1)
    await two.tells(ada=1)
    assert await held.of(["ada", "bob", "eve"], NOW) == {"ada": 3, "bob": 1}
    await one.tells(bob=5)
    assert await held.of(["ada", "bob"], NOW) == {"ada": 1, "bob": 5}
    await one.tells()
    assert await held.of(["ada", "bob"], NOW) == {"ada": 1}
    assert await held.of([], NOW) == {}


async def test_a_worker_that_is_gone_holds_nothing(redis):
    clock = ManualClock(NOW)
    one, two, held = Worker(redis, clock), Worker(redis, clock), RedisHeld(redis, life=20.0)
    await one.tells(ada=2)
    clock.advance(15)
    await two.tells(ada=1)
    assert await held.of(["ada"], NOW + 19) == {"ada": 3}
    assert await held.of(["ada"], NOW + 21) == {"ada": 1}


async def test_a_store_that_forgot_is_told_everything_again(redis):
    worker, held = Worker(redis, ManualClock(NOW)), RedisHeld(redis, life=20.0)
    await worker.tells(ada=2, bob=1)
    await redis.call("FLUSHALL")
    await worker.tells(ada=2, bob=2)
    assert await held.of(["ada", "bob"], NOW) == {"ada": 2, "bob": 2}


async def test_more_than_one_call_can_carry_is_told_in_several(redis):
    worker, held = Worker(redis, ManualClock(NOW)), RedisHeld(redis, life=20.0)
    many = {f"s{number}": 1 for number in range(2500)}
    await worker.tells(**many)
    assert sum((await held.of(list(many), NOW)).values()) == 2500
    await worker.tells(s7=1)
    assert await held.of(list(many), NOW) == {"s7": 1}


async def test_who_holds_nothing_says_nothing(redis):
    await Worker(redis, ManualClock(NOW)).tells()
    assert await redis.call("EXISTS", "gate:held:workers") == 0
