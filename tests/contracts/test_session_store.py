"""What every SessionStore must do, in memory and on a real server (security 11, 12, 14)."""

import asyncio

import pytest
from factories import NOW, session, user
from fakes import MemorySessions

from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Presented

WINDOW = 10.0
IDLE = 7 * 86400.0


@pytest.fixture(params=["memory", "redis"])
async def store(request):
    if request.param == "memory":
        yield MemorySessions()
        return
    redis = Redis(request.getfixturevalue("redis_url"), timeout=5.0)
    await redis.open()
    yield RedisSessions(redis, user_life=31 * 86400.0)
    await redis.close()


async def _opened(store, **changes):
    owner = user()
    family = session(owner, **changes)
    await store.open(family, owner, idle=IDLE)
    return owner, family


async def _rotate(store, family, generation, now=NOW):
    return await store.rotate(RefreshClaim(family.id, generation), now=now, window=WINDOW, idle=IDLE)


async def test_an_opened_session_reads_back_with_its_user(store):
    owner, family = await _opened(store)
    live = await store.read(family.id, "a-jti", owner.id)
    assert (live.session, live.user, live.blacklisted) == (family, owner, False)
    assert await store.find(family.id) == family
    assert await store.find_user(owner.id) == owner


async def test_a_session_that_never_was_reads_as_none(store):
    live = await store.read("x" * 24, "a-jti", user().id)
    assert (live.session, live.user, live.blacklisted) == (None, None, False)


async def test_many_requests_of_one_tick_get_their_own_records(store):
    opened = [await _opened(store) for _ in range(30)]
    answers = await asyncio.gather(*(store.read(family.id, "j", owner.id) for owner, family in opened * 20))
    for (owner, family), live in zip(opened * 20, answers, strict=True):
        assert (live.session, live.user) == (family, owner)


async def test_the_current_generation_rotates(store):
    _, family = await _opened(store)
    assert await _rotate(store, family, 1, NOW + 60) is Presented.ROTATED
    moved = await store.find(family.id)
    assert (moved.generation, moved.rotated_at, moved.seen_at) == (2, NOW + 60, NOW + 60)


async def test_the_parent_inside_the_window_gets_the_same_successor_again(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    assert await _rotate(store, family, 1, NOW + WINDOW) is Presented.REPEATED
    assert (await store.find(family.id)).generation == 2


async def test_the_parent_after_the_window_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    assert await _rotate(store, family, 1, NOW + WINDOW + 0.001) is Presented.REUSED
    assert await store.find(family.id) is None


async def test_a_grandparent_inside_the_window_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    await _rotate(store, family, 2)
    assert await _rotate(store, family, 1) is Presented.REUSED
    assert await _rotate(store, family, 3) is Presented.ENDED


async def test_a_generation_from_the_future_is_refused_and_ends_nothing(store):
    """security 11"""
    _, family = await _opened(store)
    assert await _rotate(store, family, 2) is Presented.ENDED
    assert await store.find(family.id) == family


async def test_fifty_parallel_refreshes_rotate_once(store):
    """security 11"""
    _, family = await _opened(store)
    outcomes = await asyncio.gather(*(_rotate(store, family, 1) for _ in range(50)))
    assert outcomes.count(Presented.ROTATED) == 1
    assert outcomes.count(Presented.REPEATED) == 49


async def test_renewal_never_rotates(store):
    _, family = await _opened(store)
    claim = RefreshClaim(family.id, 1)
    outcomes = await asyncio.gather(*(store.renew(claim, now=NOW + 5, window=WINDOW, idle=IDLE) for _ in range(20)))
    assert set(outcomes) == {Presented.CURRENT}
    renewed = await store.find(family.id)
    assert (renewed.generation, renewed.seen_at) == (1, NOW + 5)


async def test_renewal_with_a_spent_token_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    claim = RefreshClaim(family.id, 1)
    assert await store.renew(claim, now=NOW + 11, window=WINDOW, idle=IDLE) is Presented.REUSED
    assert await store.find(family.id) is None


async def test_an_ended_session_does_not_come_back_by_rotation(store):
    """security 12"""
    _, family = await _opened(store)
    await store.end([family.id])
    assert await _rotate(store, family, 1) is Presented.ENDED
    assert await store.find(family.id) is None


async def test_logout_racing_refresh_leaves_nothing_alive(store):
    """security 12"""
    for _ in range(500):
        _, family = await _opened(store)
        await asyncio.gather(_rotate(store, family, 1), store.end([family.id]), _rotate(store, family, 1))
        assert await store.find(family.id) is None


async def test_a_blacklisted_token_is_seen_under_its_own_jti_only(store):
    owner, family = await _opened(store)
    await store.blacklist(family.id, "one", until=NOW + 900, now=NOW)
    assert (await store.read(family.id, "one", owner.id)).blacklisted
    assert not (await store.read(family.id, "two", owner.id)).blacklisted


async def test_an_older_version_of_a_user_never_replaces_a_newer_one(store):
    """security 12: a login that read the user before a lock must not undo it"""
    owner, _ = await _opened(store)
    from dataclasses import replace

    locked = replace(owner, locked=True, epoch=2, version=2)
    await store.put_user(locked)
    await store.put_user(owner)
    assert await store.find_user(owner.id) == locked


async def test_an_epoch_is_adopted_by_a_living_session_only(store):
    owner, family = await _opened(store)
    await store.adopt_epoch(family.id, 2)
    assert (await store.find(family.id)).epoch == 2
    await store.end([family.id])
    await store.adopt_epoch(family.id, 3)
    assert (await store.read(family.id, "j", owner.id)).session is None
