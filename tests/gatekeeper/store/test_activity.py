"""The live stream over a real Valkey."""

import asyncio
import contextlib
import json

import pytest
from factories import NOW

from gatekeeper.events.event import Event
from gatekeeper.store.activity import KEPT, RedisActivity
from gatekeeper.store.redis import Redis


@pytest.fixture
async def activity(redis_url):
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    yield RedisActivity(redis)
    await redis.close()


def _event(number):
    return Event("user.lock", str(number), NOW, {"n": number})


def _number(seen):
    return json.loads(seen.event)["data"]["n"]


async def test_whoever_watches_gets_what_is_kept_and_then_each_new_one_once(activity):
    await activity.take([_event(0), _event(1)])
    numbers = []
    async with asyncio.timeout(60), contextlib.aclosing(activity.follow("0-0")) as following:
        async for seen in following:
            numbers.append(_number(seen))
            if len(numbers) == 2:
                await activity.take([_event(2)])
                await activity.take([_event(3), _event(4)])
            if len(numbers) == 5:
                break
    assert numbers == [0, 1, 2, 3, 4]


async def test_whoever_was_away_goes_on_where_they_were(activity):
    await activity.take([_event(n) for n in range(5)])
    third = (await activity.recent(3))[0]
    assert _number(third) == 2
    assert [_number(seen) for seen in await activity.after(third.id)] == [3, 4]


async def test_the_stream_stays_short(activity):
    for start in range(0, 3 * KEPT, 500):
        await activity.take([_event(n) for n in range(start, start + 500)])
    kept = await activity.recent(10 * KEPT)
    assert KEPT <= len(kept) <= KEPT + 200
    assert _number(kept[-1]) == 3 * KEPT - 1


@pytest.mark.parametrize("place", ["", "+", "1", "1-2-3", "1-2 COUNT"])
async def test_a_place_is_two_numbers(activity, place):
    with pytest.raises(ValueError, match="two numbers"):
        await activity.after(place)
