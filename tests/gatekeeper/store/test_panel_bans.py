"""gatekeeper/store/panel_bans.py: bans that are over, out of a real PostgreSQL."""

import pytest
from factories import NOW

from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.panel_bans import PostgresEndedBans
from gatekeeper.store.postgres import Postgres
from policies.bans import Ban, Source, parse_subject


@pytest.fixture
async def database(postgres_dsn):
    database = Postgres(postgres_dsn, timeout=30.0)
    yield database
    await database.close()


async def _nobody_listens(_version):
    pass


async def test_they_come_by_their_end_and_page_by_page_and_one_that_was_replaced_is_none(database):
    store, ended = PostgresBans(database, _nobody_listens), PostgresEndedBans(database)

    async def ban(subject, at, until):
        await store.put([Ban(parse_subject(subject), Source.MANUAL, at, until)], at)

    await ban("192.0.2.1", NOW, NOW + 60)
    await ban("192.0.2.1", NOW + 90, NOW + 400)  # the one before had ended by itself
    await ban("192.0.2.1", NOW + 100, NOW + 500)  # in place of one in force
    await ban("CH", NOW, NOW + 30)
    await ban("192.0.2.2", NOW, None)
    await store.lift(parse_subject("192.0.2.2"), "cli:root", NOW + 200)
    assert [found.subject.text for _, found in await ended.ended(NOW + 150, count=9)] == ["192.0.2.1", "CH"]
    rows = await ended.ended(NOW + 300, count=9)
    assert [(found.subject.text, found.ended_at) for _, found in rows] == [
        ("192.0.2.2", NOW + 200),
        ("192.0.2.1", NOW + 60),
        ("CH", NOW + 30),
    ]
    first, second, _third = rows
    assert await ended.ended(NOW + 300, count=1, after=(NOW + 200, first[0])) == [second]


async def test_they_are_found_by_their_index(database):
    await database.execute("SET enable_seqscan = off")
    plan = await database.fetch(
        "EXPLAIN SELECT id FROM bans WHERE (lifted_by IS DISTINCT FROM 'replaced' OR until <= lifted_at)"
        " AND least(lifted_at, until) <= now() ORDER BY least(lifted_at, until) DESC, id DESC LIMIT 50"
    )
    assert any("bans_ended" in row["QUERY PLAN"] for row in plan)
