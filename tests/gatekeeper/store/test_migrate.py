"""gatekeeper/store/migrate.py against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from gatekeeper.errors import StartupError, StoreUnavailable
from gatekeeper.store.migrate import Migration, load, migrate

PATIENCE = 60.0


def migration(name: str, text: str) -> Migration:
    return Migration(name, text, hashlib.sha256(text.encode()).hexdigest())


FIRST = migration("0001_first", "CREATE TABLE first (x int); SELECT pg_sleep(0.05);")
SECOND = migration("0002_second", "CREATE TABLE second (x int);")


def query(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def tables(dsn: str) -> set[str]:
    return {name for (name,) in query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@pytest.fixture
def database(postgres: Any) -> Iterator[str]:
    """The DSN of a database without a table."""
    query(postgres.url, "CREATE DATABASE bare")
    yield make_dsn(postgres.url, dbname="bare")
    query(postgres.url, "DROP DATABASE bare WITH (FORCE)")


async def until(dsn: str, sql: str) -> None:
    """Ask until there is a row."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(query, dsn, sql):  # noqa: ASYNC110  # it is another process's state
            await asyncio.sleep(0.01)


async def test_the_packages_migrations_apply_once_and_in_order(database: str) -> None:
    names = [each.name for each in load()]
    assert names == sorted(names)
    assert "0001_identity" in names
    assert await migrate(database) == names
    assert await migrate(database) == []
    assert {"users", "sessions", "login_logs", "schema_migrations"} <= tables(database)
    recorded = dict(query(database, "SELECT name, checksum FROM schema_migrations"))
    assert recorded == {each.name: hashlib.sha256(each.text.encode()).hexdigest() for each in load()}


async def test_a_dry_run_says_what_is_missing_and_changes_nothing(database: str) -> None:
    assert await migrate(database, dry_run=True, migrations=[FIRST, SECOND]) == ["0001_first", "0002_second"]
    assert tables(database) == set()
    await migrate(database, migrations=[FIRST])
    assert await migrate(database, dry_run=True, migrations=[FIRST, SECOND]) == ["0002_second"]


async def test_ten_gates_starting_at_once_apply_each_migration_once(database: str) -> None:
    done = await asyncio.gather(*(migrate(database, migrations=[FIRST, SECOND]) for _ in range(10)))
    assert max(done, key=len) == ["0001_first", "0002_second"]
    assert sum(len(each) for each in done) == 2


@pytest.mark.parametrize("fault", ["SELECT * FROM nowhere", "ALTER TABLE schema_migrations RENAME TO nowhere"])
async def test_a_failing_migration_leaves_nothing_of_itself(database: str, fault: str) -> None:
    """Nor when only its record cannot be written."""
    bad = migration("0002_bad", f"CREATE TABLE half (x int); {fault};")
    with pytest.raises(StartupError, match=r"^migrations: 0002_bad failed: [^\n]*$"):
        await migrate(database, migrations=[FIRST, bad])
    assert tables(database) == {"first", "schema_migrations"}
    assert await migrate(database, migrations=[FIRST, SECOND]) == ["0002_second"]


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ([migration("0001_first", "CREATE TABLE other ();"), SECOND], "0001_first was changed"),
        ([FIRST], "newer than this version of the gate"),
        ([FIRST, migration("0001_inserted", "SELECT 1"), SECOND], "0001_inserted is missing below 0002_second"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_database_that_disagrees_with_the_code_is_refused(
    database: str, code: Any, complaint: str, dry_run: bool
) -> None:
    await migrate(database, migrations=[FIRST, SECOND])
    with pytest.raises(StartupError, match=complaint) as caught:
        await migrate(database, migrations=code, dry_run=dry_run)
    assert "\n" not in str(caught.value)


async def test_another_gate_that_does_not_finish_is_waited_for_only_so_long(database: str) -> None:
    started = asyncio.create_task(migrate(database, migrations=[migration("0001_slow", "SELECT pg_sleep(5)")]))
    await until(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted")
    with pytest.raises(StartupError, match="another gate is still at it"):
        await migrate(database, migrations=[FIRST], lock_timeout=0.2)
    assert await started == ["0001_slow"]


async def test_a_gate_killed_in_the_middle_blocks_nobody(database: str) -> None:
    slow = asyncio.create_task(migrate(database, migrations=[migration("0001_slow", "SELECT pg_sleep(600)")]))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'gatekeeper migrate' AND query LIKE '%sleep%'"
    )
    await until(database, kill)
    with pytest.raises(StoreUnavailable):
        await slow
    assert await migrate(database, migrations=[FIRST, SECOND]) == ["0001_first", "0002_second"]


@pytest.mark.parametrize("dsn", ["postgresql://u:sesame@127.0.0.1:1/d", "postgresql://u:sesame@[bad/d", "u sesame"])
async def test_a_database_that_is_not_there_is_said_in_one_line_without_the_password(dsn: str) -> None:
    with pytest.raises((StoreUnavailable, StartupError)) as caught:
        await migrate(dsn)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_line_endings_do_not_change_a_checksum_and_numbers_are_unique(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\nSELECT 2;\n")
    (tmp_path / "notes.txt").write_text("not a migration")
    unix = load(tmp_path)
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert load(tmp_path) == unix
    (tmp_path / "0001_b.sql").write_text("SELECT 3;")
    with pytest.raises(StartupError, match="0001"):
        load(tmp_path)
