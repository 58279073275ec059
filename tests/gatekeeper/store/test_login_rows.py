"""gatekeeper/store/login_rows.py and the partitions of ``login_logs``, in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from attempts import attempt, full_attempt

from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.drain import RowsRefused
from gatekeeper.journal.records import ATTEMPT, SUPPRESSED, Batch, decode, encode
from gatekeeper.journal.rows import as_row
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.migrate import load, migrate
from gatekeeper.store.postgres import Postgres

PATIENCE = 30.0
ONE = UUID(int=1)
MAY = datetime(2031, 5, 20, tzinfo=UTC).timestamp()
WHERE = "SELECT tableoid::regclass::text AS partition, email FROM login_logs ORDER BY email"


@pytest.fixture
async def rows(postgres_dsn):
    rows = Postgres(postgres_dsn, timeout=PATIENCE)
    yield rows
    await rows.close()


async def test_an_attempt_is_read_as_it_was_written_and_is_one_row_however_often_written(rows):
    log, written = PostgresLoginLog(rows), full_attempt()
    for _ in range(2):
        await log.record_attempt(written)
    assert await log.latest_attempts(5) == [written]


async def test_the_newest_come_first_and_those_of_one_account_by_themselves(rows):
    log = PostgresLoginLog(rows)
    old, new = full_attempt(time=1000.0), attempt(time=2000.0)
    await log.record_attempt(old)
    await log.record_attempt(new)
    assert await log.latest_attempts(5) == [new, old]
    assert await log.latest_attempts(1) == [new]
    assert await log.latest_of(old.user_id, 5) == [old]


async def test_a_month_without_a_partition_waits_until_it_gets_one(rows):
    log = PostgresLoginLog(rows)
    await log.record_attempt(attempt(time=MAY, email="may"))
    await log.record_attempt(attempt(time=MAY + 20 * 86_400, email="june"))
    assert {row["partition"] for row in await rows.fetch(WHERE)} == {"login_logs_default"}
    for _ in range(2):
        made = await rows.fetch("SELECT login_logs_month(%s) AS name", (datetime.fromtimestamp(MAY, tz=UTC),))
        assert made == [{"name": "login_logs_2031_05"}]
    assert await rows.fetch(WHERE) == [
        {"partition": "login_logs_default", "email": "june"},
        {"partition": "login_logs_2031_05", "email": "may"},
    ]
    await log.record_attempt(attempt(time=MAY + 1, email="more"))
    assert (await rows.fetch(WHERE))[-1] == {"partition": "login_logs_2031_05", "email": "more"}


async def test_this_month_and_the_next_have_partitions_from_the_start(rows):
    (row,) = await rows.fetch(
        "SELECT to_regclass('login_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')) IS NOT NULL AS now,"
        " to_regclass('login_logs_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')) IS NOT NULL"
        " AS next"
    )
    assert row == {"now": True, "next": True}


async def test_rows_from_before_there_were_partitions_are_kept(rows, postgres_dsn):
    names = [migration.name for migration in load()]
    since = names.index("0060_login_logs")
    await rows.execute("DROP SCHEMA public CASCADE")
    await rows.execute("CREATE SCHEMA public")
    await migrate(postgres_dsn, migrations=load()[:since])
    await rows.execute(
        "INSERT INTO login_logs (id, time, email, result, method, address, request_id, factor)"
        " VALUES (gen_random_uuid(), '2020-02-29T23:59:59.5Z', 'ada', 'success', 'password', '192.0.2.1', 'r', 'totp')"
    )
    await migrate(postgres_dsn, migrations=load()[: since + 1])
    assert await rows.fetch(WHERE) == [{"partition": "login_logs_2020_02", "email": "ada"}]
    (kept,) = await PostgresLoginLog(rows).latest_attempts(5)
    assert (kept.factor, kept.signals, kept.evidence) == ("totp", (), None)


class TestWriting:
    """Batches out of the spool."""

    async def test_rows_and_counts_of_a_batch_are_there_once_however_often_it_is_written(self, rows):
        log = PostgresLoginLog(rows)
        batch = batch_of(full_attempt(), attempt(), attempt())
        for _ in range(3):
            assert await log.write(batch) == batch.until
        assert len(await log.latest_attempts(9)) == 3
        counts = await rows.fetch("SELECT grain, device, attempts FROM login_counts ORDER BY 1, 2")
        assert [(row["grain"], row["device"], row["attempts"]) for row in counts] == [
            (grain, device, attempts)
            for grain in ("day", "hour", "minute")
            for device, attempts in (("", 2), ("desktop", 1))
        ]
        shares = await rows.fetch("SELECT kind, value, attempts FROM login_shares WHERE grain = 'hour' ORDER BY 1, 2")
        assert [(row["kind"], row["value"], row["attempts"]) for row in shares] == [
            *(("browser", "", 2), ("browser", "Chrome", 1), ("method", "password", 3), ("os", "", 2)),
            ("os", "Windows", 1),
        ]

    async def test_a_row_that_is_there_already_is_not_counted_again(self, rows):
        log, one = PostgresLoginLog(rows), attempt()
        await log.write(batch_of(one))
        await log.write(batch_of(one, attempt(), segment=UUID(int=2)))
        assert await rows.fetch("SELECT attempts FROM login_counts WHERE grain = 'day'") == [{"attempts": 2}]

    async def test_a_batch_from_another_place_writes_nothing_and_says_where_the_file_is(self, rows):
        log = PostgresLoginLog(rows)
        first = batch_of(attempt())
        await log.write(first)
        assert await log.write(replace(batch_of(attempt()), since=first.until + 9)) == first.until
        assert len(await log.latest_attempts(9)) == 1
        assert await log.write(first.without_entries()) == first.until

    async def test_what_was_suppressed_is_counted_by_time_and_by_whom_it_came_from(self, rows):
        log = PostgresLoginLog(rows)
        lines = [
            orjson.dumps(
                {
                    "time": "2027-01-15T08:00:30+00:00",
                    "result": "blocked",
                    "reason": "rate-limited",
                    "country": None,
                    "device": "bot",
                    "cap": "address",
                    "subject": subject,
                }
            )
            for subject in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
        batch = decode(UUID(int=3), 0, b"".join(encode(SUPPRESSED, line) for line in lines))
        for _ in range(2):
            await log.write(batch)
        counts = "SELECT attempts, suppressed, device FROM login_counts WHERE grain = 'minute'"
        assert await rows.fetch(counts) == [{"attempts": 0, "suppressed": 3, "device": "bot"}]
        by_whom = await rows.fetch("SELECT subject, attempts FROM login_suppressed ORDER BY 1")
        assert [tuple(row.values()) for row in by_whom] == [("192.0.2.1", 2), ("192.0.2.2", 1)]

    async def test_a_row_that_is_refused_is_said_to_be_and_nothing_of_its_batch_is_written(self, rows):
        log = PostgresLoginLog(rows)
        with pytest.raises(RowsRefused):
            await log.write(batch_of(attempt(), attempt(user_id="no uuid")))
        assert await log.latest_attempts(9) == []
        assert await rows.fetch("SELECT * FROM login_spools") == []

    async def test_an_erased_account_gets_no_rows_any_more(self, rows):
        log, gone = PostgresLoginLog(rows), full_attempt()
        await rows.execute("INSERT INTO login_erasures VALUES (%s, now())", (UUID(gone.user_id),))
        await log.write(batch_of(gone, attempt()))
        assert [one.user_id for one in await log.latest_attempts(9)] == [None]

    async def test_two_workers_that_count_the_same_minute_lose_nothing(self, rows):
        log = PostgresLoginLog(rows)
        batches = [
            batch_of(*(attempt(country=country) for country in ("DE", "FR", None)), segment=UUID(int=number))
            for number in range(20)
        ]
        await asyncio.gather(*(log.write(batch) for batch in batches))
        assert await rows.fetch("SELECT sum(attempts)::int AS n FROM login_counts WHERE grain = 'hour'") == [{"n": 60}]


def batch_of(*attempts: Attempt, segment: UUID = ONE) -> Batch:
    """A file with these."""
    return decode(segment, 0, b"".join(encode(ATTEMPT, orjson.dumps(as_row(one))) for one in attempts))
