"""How often rules decided, over a real PostgreSQL."""

import asyncio

import pytest
from factories import NOW

from gatekeeper.observe.rule_hits import Hits, HourHits, Ruling
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.rule_hits import PostgresRuleHits

HOUR = 3600.0
LET = Ruling("api", False, "allow", "")
REFUSED = Ruling("api", False, "deny", "rule-denied")
WOULD = Ruling("trial", True, "login", "credentials-missing")


@pytest.fixture
async def store(postgres_dsn):
    postgres = Postgres(postgres_dsn, size=4, timeout=30.0)
    yield PostgresRuleHits(postgres)
    await postgres.close()


async def test_counts_add_up_within_the_time_asked_for_and_the_last_one_is_remembered_beyond_it(store):
    await store.add({LET: 3}, NOW - 5 * HOUR)
    await store.add({LET: 4, REFUSED: 1}, NOW)
    await store.add({LET: 5, WOULD: 2}, NOW + 10)
    assert await store.totals(["api", "trial", "none"], NOW) == [
        Hits(LET, 9, NOW + 10),
        Hits(REFUSED, 1, NOW),
        Hits(WOULD, 2, NOW + 10),
    ]
    assert await store.totals(["api"], NOW + HOUR) == [Hits(LET, 0, NOW + 10), Hits(REFUSED, 0, NOW)]
    assert await store.totals(["trial"], NOW - HOUR) == [Hits(WOULD, 2, NOW + 10)]
    assert await store.hours("api", NOW - 6 * HOUR) == [
        HourHits(NOW - 5 * HOUR, LET, 3),
        HourHits(NOW, LET, 9),
        HourHits(NOW, REFUSED, 1),
    ]


async def test_workers_that_count_the_same_at_once_lose_nothing_and_never_lock_each_other(store):
    hits = {Ruling(f"rule{number}", False, "allow", ""): 1 for number in range(40)}
    backwards = dict(reversed(hits.items()))
    await asyncio.gather(*(store.add(one, NOW) for one in [hits, backwards] * 10))
    totals = await store.totals([one.rule for one in hits], NOW)
    assert [one.count for one in totals] == [20] * 40


async def test_old_hours_are_forgotten_and_no_others(store):
    for hours in (0, 1, 2):
        await store.add({LET: 1}, NOW - hours * HOUR)
    await store.forget(NOW - HOUR)
    assert [one.start for one in await store.hours("api", 0)] == [NOW - HOUR, NOW]
