"""gatekeeper/store/panel_users.py: the panel's list of accounts out of a real PostgreSQL."""

from __future__ import annotations

import uuid

import pytest
from factories import NOW
from people import begin, id_of, peopled

from admin.lists import Place
from admin.user_lists import Held, State, UserFilter
from gatekeeper.clock import as_datetime
from gatekeeper.store.panel_users import PostgresUsers


@pytest.fixture
async def database(postgres_dsn):
    async with peopled(postgres_dsn) as database:
        yield database


@pytest.fixture
def users(database):
    return PostgresUsers(database)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (UserFilter(), [0, 1, 2, 3]),
        (UserFilter(text="example.com"), [0, 1]),
        (UserFilter(text="AMPLE.O"), [2]),
        (UserFilter(text="lovelace"), [0]),
        (UserFilter(text="a love"), [0]),
        (UserFilter(text="ÅGREN"), [2]),
        (UserFilter(text="o'n"), [3]),
        (UserFilter(text="0%_"), [3]),
        (UserFilter(text="%"), [3]),
        (UserFilter(text="da"), [0]),
        (UserFilter(text="com ada"), []),  # the end of an e-mail and the beginning of a name are not one
        (UserFilter(text="nobody"), []),
        (UserFilter(role="staff"), [2, 3]),
        (UserFilter(state=State.LOCKED), [1]),
        (UserFilter(text="example", role="staff", state=State.ACTIVE), [2, 3]),
    ],
    ids=str,
)
async def test_those_that_fit_are_listed_newest_first(users, wanted, found):
    assert [row.id for row in await users.users(wanted, NOW, count=9)] == [id_of(number) for number in found]


async def test_a_part_of_three_letters_is_looked_for_in_an_index(database):
    async with database.transaction() as transaction:
        await transaction.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        plan = await transaction.fetch(
            "EXPLAIN SELECT id FROM users u"
            " WHERE trigrams(u.email || ' ' || lower(coalesce(u.name, ''))) @> trigrams(lower('Lovelace'))"
        )
    assert any("users_by_part" in line for row in plan for line in row.values())


async def test_a_page_goes_on_behind_the_last_row_also_within_one_moment(database, users):
    await database.execute("UPDATE users SET created_at = %s", (as_datetime(NOW),))
    seen, after = [], None
    while page := await users.users(UserFilter(), NOW, count=3, after=after):
        seen += [row.id for row in page]
        after = Place(page[-1].created_at, page[-1].id)
    assert seen == [id_of(number) for number in (3, 2, 1, 0)]


async def test_a_row_has_what_is_open_and_how_the_account_is_held(database, users):
    await begin(database, "a", at=NOW - 60)
    await begin(database, "b", at=NOW - 50, ended=NOW - 40)
    await begin(database, "c", at=NOW - 90, ends=NOW - 1)
    for confirmed in (None, as_datetime(NOW)):
        await database.execute("DELETE FROM totp_secrets")
        await database.execute(
            "INSERT INTO totp_secrets (user_id, sealed, confirmed_at) VALUES (%s, %s, %s)",
            (uuid.UUID(id_of(0)), confirmed and b"sealed", confirmed),
        )
        (row,) = await users.users(UserFilter(text="ada@"), NOW, count=2)
        assert (row.app, row.passkeys, row.second_factors) == (confirmed is not None, 0, confirmed is not None)
    assert (row.email, row.name, row.roles, row.locked) == ("ada@example.com", "Ada Lovelace", ("admin",), False)
    assert (row.open_sessions, row.last_login, row.created_at) == (1, NOW - 50, NOW)
    (other,) = await users.users(UserFilter(text="bob@"), NOW, count=2)
    assert (other.open_sessions, other.last_login, other.second_factors) == (0, None, 0)


@pytest.fixture
async def held(database):
    """The first has an app, the third a passkey, the fourth has begun with an app and not confirmed it."""
    await database.execute(
        "INSERT INTO totp_secrets (user_id, sealed, confirmed_at, pending) VALUES (%s, 'x', now(), NULL),"
        " (%s, NULL, NULL, 'x')",
        (uuid.UUID(id_of(0)), uuid.UUID(id_of(3))),
    )
    await database.execute(
        "INSERT INTO passkeys (id, user_id, credential, public_data, name, sign_count, synced, created_at)"
        " SELECT gen_random_uuid(), %s, n::text::bytea, 'x', 'key', 0, false, now() FROM generate_series(1, 2) AS n",
        (uuid.UUID(id_of(2)),),
    )
    await database.execute("UPDATE users SET email_verified = true WHERE id = %s", (uuid.UUID(id_of(1)),))
    await database.execute(
        "INSERT INTO passwords (user_id, hash, changed_at, must_change) VALUES (%s, 'x', now(), true)",
        (uuid.UUID(id_of(2)),),
    )
    await begin(database, "a", 0, at=NOW - 100)
    await begin(database, "b", 2, at=NOW - 5000, ended=NOW - 10)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (UserFilter(factor=Held.NONE), [1, 3]),
        (UserFilter(factor=Held.ANY), [0, 2]),
        (UserFilter(factor=Held.APP), [0]),
        (UserFilter(factor=Held.PASSKEY), [2]),
        (UserFilter(state=State.UNVERIFIED), [0, 2, 3]),
        (UserFilter(state=State.MUST_CHANGE), [2]),
        (UserFilter(unseen_since=0.0), [1, 3]),
        (UserFilter(unseen_since=NOW - 1000), [1, 2, 3]),
        (UserFilter(unseen_since=NOW - 1000, factor=Held.PASSKEY, text="eve"), [2]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("held")
async def test_they_are_told_by_factor_state_and_last_sign_in(users, wanted, found):
    rows = await users.users(wanted, NOW, count=9)
    assert [row.id for row in rows] == [id_of(number) for number in found]
    assert all(row.passkeys == 2 for row in rows if row.id == id_of(2))
