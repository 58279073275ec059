"""gatekeeper/journal/retention.py and store/login_months.py: over a real PostgreSQL and a real folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

import pytest
from attempts import attempt

from gatekeeper.clock import ManualClock
from gatekeeper.journal.archive import Archive, read
from gatekeeper.journal.retention import LoginKeeper, Month, Retention, first_of, month_of
from gatekeeper.store.login_months import PostgresLoginMonths
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres

DAY = 86_400.0
NOW = datetime(2027, 6, 15, tzinfo=UTC).timestamp()
PARTITIONS = "SELECT relname FROM pg_class WHERE relname ~ '^login_logs_(leaving_)?2027' AND relkind = 'r' ORDER BY 1"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
async def database(postgres_dsn):
    database = Postgres(postgres_dsn, timeout=60.0)
    yield database
    await database.close()


@pytest.fixture
def months(database):
    return PostgresLoginMonths(database)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


async def keep(database, *moments: str) -> None:
    for moment in moments:
        await PostgresLoginLog(database).record_attempt(attempt(time=at(moment), email=moment))


async def kept(database) -> list[str]:
    return [row["email"] for row in await database.fetch("SELECT email FROM login_logs ORDER BY time")]


async def partitions(database) -> list[str]:
    return [row["relname"] for row in await database.fetch(PARTITIONS)]


def archived(archive: Archive, month: str) -> list[str]:
    return [row["email"] for batch in read(archive.path(month), 100) for row in batch]


async def test_months_are_made_ahead_and_for_what_has_come_already(database, months):
    await keep(database, "2027-04-30T23:59:59.999999", "2027-05-01")
    await months.make(NOW, 2)
    wanted = [f"login_logs_2027_{number:02}" for number in (4, 5, 6, 7, 8)]
    assert await partitions(database) == wanted
    assert await database.fetch("SELECT FROM login_logs_default") == []
    assert [month.name for month in await months.months()][-5:] == [name[-7:].replace("_", "-") for name in wanted]


async def test_a_month_leaves_when_all_of_it_is_too_old_and_is_in_its_file_then(database, months, archive):
    await keep(database, "2027-02-28T23:59:59", "2027-03-01", "2027-03-31", "2027-06-01")
    retention = Retention(months, archive, retain=90 * DAY, most=None)
    gone = await retention.expire(at("2027-06-29"))
    assert [(one.month, one.rows) for one in gone if one.rows] == [("2027-02", 1)]
    gone = await retention.expire(at("2027-06-30"))
    assert [(one.month, one.rows) for one in gone] == [("2027-03", 2)]
    assert await kept(database) == ["2027-06-01"]
    assert archived(archive, "2027-02") == ["2027-02-28T23:59:59"]
    assert archived(archive, "2027-03") == ["2027-03-01", "2027-03-31"]
    assert "login_logs_leaving_2027_03" not in await partitions(database)


async def test_rows_that_come_late_for_an_archived_month_join_its_file(database, months, archive):
    retention = Retention(months, archive, retain=90 * DAY, most=None)
    for moment in ("2027-02-03", "2027-02-01"):
        await keep(database, moment)
        await retention.expire(NOW)
    assert archived(archive, "2027-02") == ["2027-02-01", "2027-02-03"]
    assert await kept(database) == []


async def test_a_month_stays_when_its_file_cannot_be_written(database, months, tmp_path, caplog):
    (tmp_path / "archive").touch()
    await keep(database, "2027-02-03")
    retention = Retention(months, Archive(tmp_path / "archive"), retain=90 * DAY, most=None)
    with caplog.at_level(logging.ERROR):
        await LoginKeeper(lambda: contextlib.nullcontext(retention), ManualClock(NOW)).look()
    assert "old months stay" in caplog.text
    assert [row["email"] for row in await database.fetch("SELECT email FROM login_logs_leaving_2027_02")] == [
        "2027-02-03"
    ]
    (tmp_path / "archive").unlink()
    assert [one.rows for one in await retention.expire(NOW) if one.month == "2027-02"] == [1]


async def test_what_was_archived_but_not_dropped_before_a_crash_is_not_doubled(database, months, archive):
    await keep(database, "2027-02-03", "2027-02-04")
    await months.make(NOW, 0)
    await months.take_out("2027-02")

    class Crash(BaseException): ...

    class Crashing:
        def __init__(self) -> None:
            self.real = archive.writer("2027-02")
            self.add, self.discard = self.real.add, self.real.discard

        def finish(self) -> None:
            self.real.finish()
            raise Crash

    with pytest.raises(Crash):
        await months.remove("2027-02", Crashing())
    assert archived(archive, "2027-02") == ["2027-02-03", "2027-02-04"]
    retention = Retention(months, archive, retain=90 * DAY, most=None)
    assert [(one.month, one.rows) for one in await retention.expire(NOW) if one.rows] == [("2027-02", 2)]
    assert archived(archive, "2027-02") == ["2027-02-03", "2027-02-04"]


async def test_of_two_gates_one_archives(database, months, archive):
    await keep(database, "2027-02-03")
    await months.make(NOW, 0)
    await months.take_out("2027-02")
    async with database.transaction() as other:
        await other.fetch("SELECT pg_advisory_xact_lock(%s)", (0x6C6F_6769_6E6D_6F6E,))
        assert await months.remove("2027-02", archive.writer("2027-02")) is None
    assert await months.leaving() == ["2027-02"]
    both = await asyncio.gather(*(months.remove("2027-02", archive.writer("2027-02")) for _ in range(2)))
    assert sorted(map(str, both)) == ["1", "None"]


async def test_without_an_archive_old_months_are_dropped(database, months, tmp_path):
    await keep(database, "2027-02-03")
    (gone,) = [
        one for one in await Retention(months, None, retain=90 * DAY, most=None).expire(NOW) if one.month == "2027-02"
    ]
    assert (gone.rows, gone.path) == (1, None)
    assert await kept(database) == []


async def test_counts_by_minute_and_hour_are_forgotten_and_those_by_day_stay(database, months):
    await keep(database, "2027-06-14", "2027-05-01", "2026-01-01")
    await Retention(months, None, retain=None, most=None).keep(NOW)
    counted = await database.fetch("SELECT grain, count(*)::int AS n FROM login_counts GROUP BY 1 ORDER BY 1")
    assert [(row["grain"], row["n"]) for row in counted] == [("day", 3), ("hour", 2), ("minute", 1)]


@pytest.mark.parametrize(
    "table",
    ["login_shares WHERE kind = 'method'", "(SELECT grain, failure AS attempts FROM login_place_counts) AS places"],
)
async def test_shares_and_places_are_kept_by_day_as_long_as_the_rows_and_by_hour_for_two_weeks(database, months, table):
    await keep(database, "2027-06-14", "2027-05-01", "2026-01-01")
    await Retention(months, None, retain=90 * DAY, most=None).keep(NOW)
    counted = await database.fetch(f"SELECT grain, sum(attempts)::int AS n FROM {table} GROUP BY 1 ORDER BY 1")
    assert [(row["grain"], row["n"]) for row in counted] == [("day", 2), ("hour", 1)]


class FakeMonths:
    """Months of a given size, for the rules alone."""

    def __init__(self, *months: Month) -> None:
        self.all = list(months)
        self.out: list[str] = []

    async def make(self, now: float, ahead: int) -> None: ...

    async def months(self) -> list[Month]:
        return self.all

    async def take_out(self, month: str) -> None:
        self.out.append(month)

    async def leaving(self) -> list[str]:
        return []


def four(size: int = 10, held: float = 0.0) -> FakeMonths:
    return FakeMonths(
        *(
            Month(f"2027-{number:02}", first_of(f"2027-{number + 1:02}"), size, held if number == 3 else 0.0)
            for number in (3, 4, 5, 6)
        )
    )


@pytest.mark.parametrize(
    ("retain", "most", "before", "out"),
    [
        (None, None, None, []),
        (45 * DAY, None, None, ["2027-03", "2027-04"]),
        (None, 25, None, ["2027-03", "2027-04"]),
        (45 * DAY, 25, None, ["2027-03", "2027-04"]),
        (45 * DAY, 15, None, ["2027-03", "2027-04", "2027-05"]),
        (None, 1, None, ["2027-03", "2027-04", "2027-05"]),
        (None, None, "2027-05", ["2027-03", "2027-04"]),
        (None, None, "2030-01", ["2027-03", "2027-04", "2027-05"]),
    ],
)
async def test_age_size_and_a_given_date_decide_and_the_current_month_never_leaves(retain, most, before, out):
    months = four()
    retention = Retention(months, None, retain=retain, most=most)
    await retention.expire(NOW, first_of(before) if before else None)
    assert months.out == out


async def test_a_restored_month_stays_as_long_as_it_is_held():
    months = four(held=NOW + DAY)
    await Retention(months, None, retain=45 * DAY, most=None).expire(NOW)
    assert months.out == ["2027-04"]


def test_months_are_those_of_utc():
    assert month_of(datetime.fromisoformat("2027-01-01T00:30:00+01:00")) == "2026-12"
    assert first_of("2027-01") == at("2027-01-01")
    with pytest.raises(ValueError, match="unconverted"):
        first_of("2027-13")
