"""The first admin's link as a service, over the real database."""

import asyncio

import pytest
from factories import NOW
from factories import user as make_user

from gatekeeper.errors import Conflict
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.store.accounts import PostgresAccounts, PostgresSetupLinks
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA"


@pytest.fixture
async def store(postgres_dsn):
    opened = Postgres(postgres_dsn, timeout=60.0)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def accounts(store):
    return PostgresAccounts(store)


@pytest.fixture
def first(store, accounts):
    return FirstAdmin(PostgresSetupLinks(store), accounts, PostgresJournal(store))


async def test_a_link_is_kept_as_a_hash_only(first, store):
    token = await first.make_link(NOW)
    rows = await store.fetch("SELECT * FROM setup_links")
    assert len(rows) == 1
    assert token not in str(rows)
    assert token.encode() not in bytes(rows[0]["token_hash"])
    assert len(token) == 43


async def test_a_new_link_ends_the_older_one(first):
    older = await first.make_link(NOW)
    newer = await first.make_link(NOW + 1)
    assert older != newer
    assert not await first.good(older, NOW + 1)
    assert await first.good(newer, NOW + 1)
    assert await first.consume(older, "a@example.com", HASH, None, NOW + 1) is None


async def test_a_link_ends_after_an_hour(first):
    token = await first.make_link(NOW)
    assert await first.good(token, NOW + 3599)
    assert not await first.good(token, NOW + 3600)
    assert await first.consume(token, "a@example.com", HASH, None, NOW + 3600) is None


async def test_twenty_at_once_make_exactly_one_admin(first, accounts):
    token = await first.make_link(NOW)
    made = await asyncio.gather(
        *(first.consume(token, f"a{number}@example.com", HASH, None, NOW) for number in range(20))
    )
    winners = [state for state in made if state is not None]
    assert len(winners) == 1
    everyone = await accounts.all()
    assert [account.state for account in everyone] == winners
    assert everyone[0].password_hash == HASH


async def test_a_link_is_worthless_once_there_is_an_admin(first, accounts):
    token = await first.make_link(NOW)
    await accounts.create(make_user(roles=("admin",)), None, NOW)
    assert not await first.good(token, NOW)
    assert await first.consume(token, "a@example.com", HASH, None, NOW) is None


async def test_a_taken_email_leaves_the_link_good(first, accounts):
    token = await first.make_link(NOW)
    await accounts.create(make_user(email="a@example.com", roles=()), None, NOW)
    with pytest.raises(Conflict):
        await first.consume(token, "a@example.com", HASH, None, NOW)
    assert await first.good(token, NOW)


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 42 + "\n", "A" * 44, "é" * 43])
async def test_anything_else_is_no_link(first, token):
    await first.make_link(NOW)
    assert not await first.good(token, NOW)
    assert await first.consume(token, "a@example.com", HASH, None, NOW) is None


async def test_making_the_admin_is_in_the_audit_log(first, store):
    token = await first.make_link(NOW)
    admin = await first.consume(token, "a@example.com", HASH, "Ada", NOW)
    assert (admin.email, admin.name, admin.roles) == ("a@example.com", "Ada", ("admin",))
    rows = await store.fetch("SELECT action, actor, subject, after FROM audit_log")
    assert rows == [
        {
            "action": "user.setup",
            "actor": admin.id,
            "subject": admin.id,
            "after": {"email": "a@example.com", "roles": ["admin"]},
        }
    ]
    assert HASH not in str(rows)
