"""gatekeeper/store/many_accounts.py: many accounts change in a real PostgreSQL, and their sessions with them."""

from __future__ import annotations

import uuid

import pytest
from factories import NOW
from people import begin, id_of, peopled

from admin.lists import Place
from admin.user_lists import Found, Held, State, UserFilter
from gatekeeper.store.many_accounts import PostgresManyAccounts
from gatekeeper.store.panel_users import PostgresUsers

ALL = [id_of(number) for number in range(4)]


@pytest.fixture
async def database(postgres_dsn):
    async with peopled(postgres_dsn) as database:
        await begin(database, "ada", 0)
        await begin(database, "eve", 2)
        await database.execute(
            "INSERT INTO passwords (user_id, hash, changed_at, must_change) VALUES (%s, 'x', now(), false),"
            " (%s, 'x', now(), true)",
            (uuid.UUID(id_of(2)), uuid.UUID(id_of(3))),
        )
        yield database


async def _ended(database):
    rows = await database.fetch("SELECT id, end_reason FROM sessions WHERE ended_at IS NOT NULL ORDER BY id")
    return [(row["id"], row["end_reason"]) for row in rows]


async def _numbers(altered):
    return sorted(uuid.UUID(one.after.id).int - 1 for one in altered)


async def test_a_lock_raises_the_epoch_of_those_who_are_not_locked_yet_and_ends_their_sessions(database):
    altered = await PostgresManyAccounts(database).lock(ALL[:3], NOW)
    assert await _numbers(altered) == [0, 2]  # the second was locked
    for one in altered:
        assert (one.before.locked, one.after.locked, one.before.epoch, one.after.epoch) == (False, True, 1, 2)
        assert one.after.version == 2
    assert await _ended(database) == [("ada", "locked"), ("eve", "locked")]
    rows = await database.fetch("SELECT locked, epoch, version FROM users ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [(True, 2, 2), (True, 1, 1), (True, 2, 2), (False, 1, 1)]


async def test_unlocking_ends_nothing_and_logging_out_meets_everybody(database):
    many = PostgresManyAccounts(database)
    assert await _numbers(await many.unlock(ALL, NOW)) == [1]
    assert await _ended(database) == []
    altered = await many.log_out(ALL, NOW)
    assert [one.after.epoch for one in altered] == [2, 2, 2, 2]
    assert await _ended(database) == [("ada", "logout"), ("eve", "logout")]


async def test_only_passwords_that_are_there_and_good_have_to_be_replaced(database):
    await database.execute(
        "INSERT INTO remembered_devices (id, user_id, created_at, expires_at) SELECT id::text::bytea, id, now(), now()"
        " FROM users"
    )
    altered = await PostgresManyAccounts(database).expire_passwords(ALL, NOW)
    assert await _numbers(altered) == [2]
    assert await _ended(database) == [("eve", "password-expired")]
    assert all(row["must_change"] for row in await database.fetch("SELECT must_change FROM passwords"))
    assert len(await database.fetch("SELECT 1 AS one FROM remembered_devices")) == 3
    assert await PostgresManyAccounts(database).expire_passwords(ALL, NOW) == []


async def test_accounts_of_a_filter_are_counted_and_gone_through_without_one(database):
    users = PostgresUsers(database)
    assert await users.count_users(UserFilter()) == Found(4, 1)
    assert await users.count_users(UserFilter(but=id_of(0), factor=Held.NONE)) == Found(3, 0)
    assert await users.count_users(UserFilter(state=State.LOCKED)) == Found(1, 0)
    places = await users.places(UserFilter(but=id_of(1)), count=2)
    assert [place.id for place in places] == [id_of(0), id_of(2)]
    assert await users.places(UserFilter(but=id_of(1)), count=2, after=places[-1]) == [Place(NOW - 3, id_of(3))]
