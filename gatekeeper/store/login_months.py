"""The partitions of the login log: made, taken out, removed. Implements ``journal.retention.LoginMonths``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.archive import ArchiveWriter
from gatekeeper.journal.retention import Month, first_of
from gatekeeper.store.login_reader import LINE
from gatekeeper.store.postgres import Postgres, QueryError, Transaction

_AT_ONCE: Final = 2000  # rows in memory
_PATIENCE: Final = "3s"  # for the lock on the whole log: whoever logs in meanwhile waits in the spool
_NAMED: Final = "to_date(right(relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC'"
_MONTHS: Final = f"""
SELECT to_char(start AT TIME ZONE 'UTC', 'YYYY-MM') AS name, pg_total_relation_size(relid) AS size,
       (start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' AS end, until
FROM (SELECT inhrelid AS relid, {_NAMED} AS start
      FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = 'login_logs'::regclass AND relname ~ '^login_logs_\\d{{4}}_\\d{{2}}$') AS months
LEFT JOIN login_holds ON month = start
ORDER BY 1
"""  # noqa: S608
_LEAVING: Final = """
SELECT replace(right(relname, 7), '_', '-') AS name FROM pg_class
WHERE relname ~ '^login_logs_leaving_\\d{4}_\\d{2}$' AND pg_table_is_visible(oid) ORDER BY 1
"""
_LOCK: Final = 0x6C6F_6769_6E6D_6F6E  # "loginmon"


class PostgresLoginMonths:
    """Needs a database with patience: a month may take minutes to read."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def make(self, now: float, ahead: int) -> None:
        """As ``LoginMonths`` says."""
        await self._postgres.fetch(
            "SELECT login_logs_month(month) FROM ("
            " SELECT date_trunc('month', %s::timestamptz, 'UTC') + n * interval '1 month' AS month"
            " FROM generate_series(0, %s) AS n"
            " UNION SELECT DISTINCT date_trunc('month', time, 'UTC') FROM login_logs_default) AS wanted",
            (as_datetime(now), ahead),
        )

    async def hold(self, month: str, until: float) -> None:
        """Its partition is there, and stays until then."""
        start = as_datetime(first_of(month))
        async with self._postgres.transaction() as transaction:
            await transaction.fetch("SELECT login_logs_month(%s)", (start,))
            await transaction.execute(
                "INSERT INTO login_holds (month, until) VALUES (%s, %s)"
                " ON CONFLICT (month) DO UPDATE SET until = greatest(login_holds.until, EXCLUDED.until)",
                (start, as_datetime(until)),
            )

    async def months(self) -> list[Month]:
        """As ``LoginMonths`` says."""
        return [
            Month(row["name"], row["end"].timestamp(), row["size"], row["until"].timestamp() if row["until"] else 0.0)
            for row in await self._postgres.fetch(_MONTHS)
        ]

    async def take_out(self, month: str) -> None:
        """As ``LoginMonths`` says. The log is locked for a moment."""
        name, leaving = _tables(month)
        try:
            async with self._postgres.transaction() as transaction:
                if not await _alone(transaction):
                    return
                await transaction.execute("SELECT set_config('lock_timeout', %s, true)", (_PATIENCE,))
                await transaction.execute(f"ALTER TABLE login_logs DETACH PARTITION {name}")
                await transaction.execute(f"ALTER TABLE {name} RENAME TO {leaving}")
        except QueryError as error:  # somebody else has done it
            raise StoreUnavailable("postgres", f"login log of {month}: {error}") from None

    async def leaving(self) -> list[str]:
        """As ``LoginMonths`` says."""
        return [row["name"] for row in await self._postgres.fetch(_LEAVING)]

    async def remove(self, month: str, archive: ArchiveWriter | None) -> int | None:
        """As ``LoginMonths`` says."""
        _, leaving = _tables(month)
        try:
            async with self._postgres.transaction() as transaction:
                if not await _alone(transaction):
                    return None
                if await transaction.fetch_one("SELECT FROM pg_class WHERE oid = to_regclass(%s)", (leaving,)) is None:
                    return None
                rows = (
                    await _hand_over(transaction, leaving, archive) if archive else await _count(transaction, leaving)
                )
                await transaction.execute(f"DROP TABLE {leaving}")
                return rows
        finally:
            if archive is not None:
                await asyncio.to_thread(archive.discard)

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Nobody archives meanwhile, however long it takes. Raises StoreUnavailable."""
        async with self._postgres.transaction() as transaction:
            await transaction.execute("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
            await transaction.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield

    async def prune(self, minutes: float, hours: float, suppressed: float, spools: float) -> None:
        """As ``LoginMonths`` says."""
        for sql, before in (
            ("DELETE FROM login_counts WHERE grain = 'minute' AND bucket < %s", minutes),
            ("DELETE FROM login_counts WHERE grain = 'hour' AND bucket < %s", hours),
            ("DELETE FROM login_shares WHERE grain = 'hour' AND bucket < %s", minutes),
            ("DELETE FROM login_shares WHERE bucket < %s", suppressed),
            ("DELETE FROM login_place_counts WHERE grain = 'hour' AND bucket < %s", minutes),
            ("DELETE FROM login_place_counts WHERE bucket < %s", suppressed),
            ("DELETE FROM login_suppressed WHERE minute < %s", suppressed),
            ("DELETE FROM login_spools WHERE changed_at < %s", spools),
            ("DELETE FROM login_holds WHERE until < %s", minutes),
        ):
            await self._postgres.execute(sql, (as_datetime(before),))


async def _hand_over(transaction: Transaction, table: str, archive: ArchiveWriter) -> int:
    rows = 0
    await transaction.execute(f"DECLARE leaving NO SCROLL CURSOR FOR SELECT {LINE} FROM {table} ORDER BY time, id")  # noqa: S608
    while batch := await transaction.fetch(f"FETCH FORWARD {_AT_ONCE} FROM leaving"):
        rows += len(batch)
        await asyncio.to_thread(archive.add, [row["line"] for row in batch])
    if rows:  # of a month without any there is no file
        await asyncio.to_thread(archive.finish)
    await transaction.execute("CLOSE leaving")
    return rows


async def _count(transaction: Transaction, table: str) -> int:
    row = await transaction.fetch_one(f"SELECT count(*) AS rows FROM {table}")  # noqa: S608
    return int(row["rows"]) if row else 0


async def _alone(transaction: Transaction) -> bool:
    """Whether no other gate is at the months; so it stays until the end of the transaction."""
    row = await transaction.fetch_one("SELECT pg_try_advisory_xact_lock(%s) AS alone", (_LOCK,))
    return row is not None and bool(row["alone"])


def _tables(month: str) -> tuple[str, str]:
    """A month's partition, and its table once it is taken out. Raises ValueError unless it is YYYY-MM."""
    first_of(month)
    text = month.replace("-", "_")
    return f"login_logs_{text}", f"login_logs_leaving_{text}"
