"""What a digest tells, out of PostgreSQL. Implements ``notify.digest.DigestStore``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.notify.digest import Counts, Figures
from gatekeeper.notify.outbox import Parcel
from gatekeeper.store.outbox import insertion
from gatekeeper.store.postgres import Postgres

_MOST: Final = 50  # of one kind
_COUNTED: Final = "FROM login_counts WHERE grain = 'hour' AND bucket >= %(since)s AND bucket < %(until)s"
_FAILED: Final = f"{_COUNTED} AND result <> 'success'"
#: Name and number, by what ``Figures`` calls them.
_QUERIES: Final = {
    "results": f"SELECT result AS name, sum(attempts + suppressed) AS number {_COUNTED} GROUP BY 1",
    "reasons": f"SELECT reason AS name, sum(attempts + suppressed) AS number {_FAILED} GROUP BY 1",
    "countries": f"SELECT country AS name, sum(attempts + suppressed) AS number {_FAILED} GROUP BY 1",
    "addresses": """
        SELECT host(address) AS name, count(*) AS number FROM login_logs
        WHERE time >= %(since)s AND time < %(until)s AND result <> 'success' GROUP BY 1""",
    "signals": """
        SELECT unnest(signals) AS name, count(*) AS number FROM login_logs
        WHERE time >= %(since)s AND time < %(until)s AND signals <> '{}' GROUP BY 1""",
    "changes": """
        SELECT action AS name, count(*) AS number FROM audit_log
        WHERE time >= %(since)s AND time < %(until)s GROUP BY 1""",
    "bans": """
        SELECT source AS name, count(*) AS number FROM bans
        WHERE since >= %(since)s AND since < %(until)s GROUP BY 1""",
}


class PostgresDigests:
    """One mark, and questions."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def told_until(self, first: float) -> float:
        async with self._postgres.transaction() as tx:
            await tx.execute(
                "INSERT INTO digest_mark (until) VALUES (%s) ON CONFLICT DO NOTHING", (as_datetime(first),)
            )
            row = await tx.fetch_one("SELECT until FROM digest_mark")
        return first if row is None else float(row["until"].timestamp())

    async def figures(self, since: float, until: float) -> Figures:
        period: dict[str, object] = {"since": as_datetime(since), "until": as_datetime(until)}
        counts = {name: await self._counts(sql, period) for name, sql in _QUERIES.items()}
        row = await self._postgres.fetch_one(
            "SELECT (SELECT count(*) FROM users WHERE created_at >= %(since)s AND created_at < %(until)s) AS accounts,"
            " (SELECT count(*) FROM outbox WHERE given_up_at >= %(since)s AND given_up_at < %(until)s) AS given_up",
            period,
        )
        accounts, given_up = (row["accounts"], row["given_up"]) if row else (0, 0)
        return Figures(
            results=counts["results"],
            reasons=counts["reasons"],
            countries=counts["countries"],
            addresses=counts["addresses"],
            signals=counts["signals"],
            changes=counts["changes"],
            bans=counts["bans"],
            accounts=accounts,
            given_up=given_up,
        )

    async def issue(self, since: float, until: float, parcels: Sequence[Parcel], now: float) -> bool:
        sql, values = insertion(parcels, now)
        async with self._postgres.transaction() as tx:
            moved = await tx.fetch_one(
                "UPDATE digest_mark SET until = %s WHERE until = %s RETURNING one",
                (as_datetime(until), as_datetime(since)),
            )
            if moved is not None:
                await tx.execute(sql, values)
        return moved is not None

    async def _counts(self, sql: str, period: dict[str, object]) -> Counts:
        rows = await self._postgres.fetch(f"{sql} ORDER BY number DESC, name LIMIT {_MOST}", period)
        return [(row["name"] or "unknown", int(row["number"])) for row in rows]
