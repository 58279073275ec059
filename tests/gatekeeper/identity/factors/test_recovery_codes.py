"""Recovery codes: ten, hashed, each once (security 19)."""

import asyncio
import re

import pytest
import pytest_asyncio
from factories import NOW, user

from gatekeeper.identity.factors.recovery_codes import RecoveryCodes
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.postgres import Postgres


@pytest_asyncio.fixture
async def store(postgres_dsn):
    postgres = Postgres(postgres_dsn, timeout=30.0)
    yield PostgresFactors(postgres)
    await postgres.close()


@pytest_asyncio.fixture
async def owners(store):
    made = [user(), user()]
    for one in made:
        await PostgresAccounts(store._postgres).create(one, None, NOW)
    return [one.id for one in made]


@pytest.fixture
def codes(store):
    return RecoveryCodes(store, b"k" * 32)


async def test_ten_codes_are_good_once_each_in_any_spelling(codes, owners):
    made = await codes.renew(owners[0], NOW)
    assert len(set(made)) == 10
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){2}", code) for code in made)
    for at, code in enumerate(made):
        typed = (code, code.upper(), code.replace("-", ""), code.replace("0", "o").replace("1", "l"))[at % 4]
        assert await codes.verify(owners[0], typed, NOW)
        assert not await codes.verify(owners[0], code, NOW)


async def test_of_twenty_parallel_uses_of_a_code_one_counts(codes, owners):
    code = (await codes.renew(owners[0], NOW))[0]
    used = await asyncio.gather(*(codes.verify(owners[0], code, NOW) for _ in range(20)))
    assert sorted(used) == [False] * 19 + [True]


async def test_new_codes_void_the_old_ones(codes, owners, store):
    old = await codes.renew(owners[0], NOW)
    await codes.renew(owners[0], NOW)
    assert not any([await codes.verify(owners[0], code, NOW) for code in old])
    assert (await store.factors_of(owners[0], NOW)).recovery_codes_left == 10


async def test_of_parallel_renewals_ten_codes_remain(codes, owners, store):
    made = await asyncio.gather(*(codes.renew(owners[0], NOW) for _ in range(8)))
    assert (await store.factors_of(owners[0], NOW)).recovery_codes_left == 10
    good = [sum([await codes.verify(owners[0], code, NOW) for code in batch]) for batch in made]
    assert sorted(good) == [0] * 7 + [10]


async def test_a_code_is_its_owners_and_rests_hashed(codes, owners, store):
    made = await codes.renew(owners[0], NOW)
    assert not await codes.verify(owners[1], made[0], NOW)
    rows = await store._postgres.fetch("SELECT hash FROM recovery_codes")
    assert all(len(bytes(row["hash"])) == 32 and made[0].encode() not in bytes(row["hash"]) for row in rows)


@pytest.mark.parametrize("code", ["", "-", "x" * 13, "k3f9-x7qm", "k3f9-x7qm-2p8\x00"])
async def test_what_is_no_code_is_refused(codes, owners, code):
    await codes.renew(owners[0], NOW)
    assert not await codes.verify(owners[0], code, NOW)
