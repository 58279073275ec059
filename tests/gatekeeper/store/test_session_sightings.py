"""Where sessions were used last, over a real Valkey."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest
from factories import NOW

from gatekeeper.store.redis import Redis
from gatekeeper.store.session_sightings import RedisSessionSightings
from policies.familiar import Sighting

HOME = Sighting(NOW, ip_address("2001:db8::7"), country="DE", asn=64500, fingerprint="f" * 32)


@pytest.fixture
async def redis(redis_url):
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    yield redis
    await redis.close()


@pytest.fixture
def sightings(redis):
    return RedisSessionSightings(redis, life=60)


async def test_the_sighting_before_comes_back_as_it_was(sightings):
    away = replace(HOME, time=NOW + 5, address=ip_address("192.0.2.9"), country=None, asn=None, fingerprint=None)
    assert await sightings.swap("s1", HOME) is None
    assert await sightings.swap("s1", away) == HOME
    assert await sightings.swap("s1", HOME) == away
    assert await sightings.swap("s2", HOME) is None


async def test_of_fifty_at_once_each_sees_another_one_before(sightings):
    seen = [replace(HOME, time=NOW + n) for n in range(50)]
    before = await asyncio.gather(*(sightings.swap("s3", one) for one in seen))
    assert len({one.time if one else None for one in before}) == 50


async def test_it_is_forgotten_and_what_cannot_be_read_is_nothing(redis, sightings):
    await sightings.swap("s4", HOME)
    assert 0 < await redis.call("TTL", "gate:{s4}:seen") <= 60
    for junk in (
        b"{}",
        b"no json",
        b"[1]",
        b'{"time": 1, "address": "x", "country": null, "asn": 1, "fingerprint": 2}',
    ):
        await redis.call("SET", "gate:{s4}:seen", junk)
        assert await sightings.swap("s4", HOME) is None


async def test_of_one_session_somebody_is_told_once_a_day(redis, sightings):
    told = await asyncio.gather(*(sightings.may_tell("s5") for _ in range(20)))
    assert sorted(told) == [False] * 19 + [True]
    assert await sightings.may_tell("s6")
    assert 86_000 < await redis.call("TTL", "gate:{s5}:told") <= 86_400


async def test_of_a_user_s_vague_moves_somebody_is_told_once_in_the_time_given(redis, sightings):
    told = await asyncio.gather(*(sightings.may_tell_of_move("u1", 2_592_000.0) for _ in range(20)))
    assert sorted(told) == [False] * 19 + [True]
    assert await sightings.may_tell_of_move("u2", 0.5), "of another user too"
    assert 2_591_000 < await redis.call("TTL", "gate:{u:u1}:moved") <= 2_592_000
