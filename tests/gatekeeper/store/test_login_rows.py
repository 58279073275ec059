"""gatekeeper/store/login_rows.py and the partitions of ``login_logs``, in a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attempts import attempt, full_attempt

from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.migrate import load, migrate
from gatekeeper.store.postgres import Postgres

PATIENCE = 30.0
MAY = datetime(2031, 5, 20, tzinfo=UTC).timestamp()
WHERE = "SELECT tableoid::regclass::text AS partition, email FROM login_logs ORDER BY email"


@pytest.fixture
async def postgres(postgres_dsn):
    postgres = Postgres(postgres_dsn, timeout=PATIENCE)
    yield postgres
    await postgres.close()


async def test_an_attempt_is_read_as_it_was_written_and_is_one_row_however_often_written(postgres):
    log, written = PostgresLoginLog(postgres), full_attempt()
    for _ in range(2):
        await log.record_attempt(written)
    assert await log.latest_attempts(5) == [written]


async def test_the_newest_come_first_and_those_of_one_account_by_themselves(postgres):
    log = PostgresLoginLog(postgres)
    old, new = full_attempt(time=1000.0), attempt(time=2000.0)
    await log.record_attempt(old)
    await log.record_attempt(new)
    assert await log.latest_attempts(5) == [new, old]
    assert await log.latest_attempts(1) == [new]
    assert await log.latest_of(old.user_id, 5) == [old]


async def test_a_month_without_a_partition_waits_until_it_gets_one(postgres):
    log = PostgresLoginLog(postgres)
    await log.record_attempt(attempt(time=MAY, email="may"))
    await log.record_attempt(attempt(time=MAY + 20 * 86_400, email="june"))
    assert {row["partition"] for row in await postgres.fetch(WHERE)} == {"login_logs_default"}
    for _ in range(2):
        made = await postgres.fetch("SELECT login_logs_month(%s) AS name", (datetime.fromtimestamp(MAY, tz=UTC),))
        assert made == [{"name": "login_logs_2031_05"}]
    assert await postgres.fetch(WHERE) == [
        {"partition": "login_logs_default", "email": "june"},
        {"partition": "login_logs_2031_05", "email": "may"},
    ]
    await log.record_attempt(attempt(time=MAY + 1, email="more"))
    assert (await postgres.fetch(WHERE))[-1] == {"partition": "login_logs_2031_05", "email": "more"}


async def test_this_month_and_the_next_have_partitions_from_the_start(postgres):
    (row,) = await postgres.fetch(
        "SELECT to_regclass('login_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')) IS NOT NULL AS now,"
        " to_regclass('login_logs_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')) IS NOT NULL"
        " AS next"
    )
    assert row == {"now": True, "next": True}


async def test_rows_from_before_there_were_partitions_are_kept(postgres, postgres_dsn):
    names = [migration.name for migration in load()]
    since = names.index("0060_login_logs")
    await postgres.execute("DROP SCHEMA public CASCADE")
    await postgres.execute("CREATE SCHEMA public")
    await migrate(postgres_dsn, migrations=load()[:since])
    await postgres.execute(
        "INSERT INTO login_logs (id, time, email, result, method, address, request_id, factor)"
        " VALUES (gen_random_uuid(), '2020-02-29T23:59:59.5Z', 'ada', 'success', 'password', '192.0.2.1', 'r', 'totp')"
    )
    await migrate(postgres_dsn, migrations=load()[: since + 1])
    assert await postgres.fetch(WHERE) == [{"partition": "login_logs_2020_02", "email": "ada"}]
    (kept,) = await PostgresLoginLog(postgres).latest_attempts(5)
    assert (kept.factor, kept.signals, kept.evidence) == ("totp", (), None)
