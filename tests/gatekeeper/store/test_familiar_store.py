"""Profiles in PostgreSQL and failures in Valkey."""

import asyncio
import uuid
from ipaddress import ip_address

import pytest
from factories import NOW
from factories import user as make_user

from gatekeeper.identity.signals import Failure
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.failures import RedisFailures
from gatekeeper.store.familiar import PostgresProfiles
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis
from policies.anomalies import Lately
from policies.familiar import Familiar, Sighting


@pytest.fixture
async def store(postgres_dsn):
    opened = Postgres(postgres_dsn, size=10, timeout=60.0)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def user(store):
    ada = make_user()
    await PostgresAccounts(store).create(ada, None, NOW)
    return ada.id


@pytest.fixture
async def failures(redis_url):
    redis = Redis(redis_url, timeout=60.0)
    await redis.open()
    yield RedisFailures(redis, 900.0)
    await redis.close()


def _seen(number):
    return Sighting(NOW + number, ip_address(0x0B000000 + number), "DE", fingerprint=f"f{number}")


async def test_what_is_learnt_is_there_and_goes_with_its_user(store, user):
    profiles = PostgresProfiles(store)
    assert await profiles.read(user) == Familiar()
    await profiles.learn(user, lambda familiar: familiar.with_login(_seen(1)))
    await profiles.learn(user, lambda familiar: familiar.with_login(_seen(2)))
    assert await profiles.read(user) == Familiar().with_login(_seen(1)).with_login(_seen(2))
    await store.execute("DELETE FROM users WHERE id = %s", (uuid.UUID(user),))
    assert await profiles.read(user) == Familiar()


async def test_logins_at_once_are_all_learnt(store, user):
    profiles = PostgresProfiles(store)
    await asyncio.gather(
        *(profiles.learn(user, lambda familiar, n=n: familiar.with_login(_seen(n))) for n in range(1, 5))
    )
    learnt = await profiles.read(user)
    assert learnt.logins == 4
    assert set(learnt.fingerprints) == {"f1", "f2", "f3", "f4"}


def _failure(number, *, place="192.0.2.1", account="ada", client="c", code=False, now=NOW):
    return Failure(f"id{number}", now, place, account, client, code)


async def test_failures_are_counted_by_address_account_and_client(failures):
    await failures.failed(_failure(1))
    await failures.failed(_failure(2, account="bob", code=True))
    assert await failures.failed(_failure(3, place="192.0.2.2", account="bob")) == Lately(1, 2, 2, 2, 1)


async def test_whoever_gets_it_right_is_none_of_those_that_fail_there(failures):
    await failures.failed(_failure(1))
    await failures.failed(_failure(2, account="bob"))
    found = await failures.succeeded(_failure(3, account="bob"))
    assert found == Lately(1, 1, 1, 1, 0)


async def test_failures_are_forgotten_by_time(failures):
    await failures.failed(_failure(1))
    assert (await failures.failed(_failure(2, now=NOW + 900))).failures_of_account == 2
    assert (await failures.failed(_failure(3, now=NOW + 1801))).failures_of_account == 1


async def test_a_client_that_looks_like_nothing_is_like_no_other(failures):
    await failures.failed(_failure(1, client=None))
    found = await failures.failed(_failure(2, account="bob", client=None))
    assert (found.accounts_of_client, found.addresses_of_client) == (0, 0)
