"""Odd attempts that nobody has dealt with. Implements ``admin.odd.OddReader``; built by ``gatekeeper.app.panel``."""

from __future__ import annotations

import uuid
from typing import Any, Final

from admin.odd import KEPT, ODD, Odd, OpenSignals
from gatekeeper.clock import as_datetime
from gatekeeper.journal.rows import from_row
from gatekeeper.store.login_rows import READ
from gatekeeper.store.postgres import Postgres

_NEWEST: Final = 2000  # attempts that are looked at
# An attack from one address, or by clients that look alike, is one line, however many accounts it tries; all else is
# about an account.
_SUBJECT: Final = """
CASE WHEN 'credential_stuffing' = ANY (signals) AND fingerprint IS NOT NULL THEN 'clients:' || fingerprint
     WHEN signals && ARRAY['password_spray', 'credential_stuffing'] THEN 'address:' || host(address)
     WHEN user_id IS NOT NULL THEN 'user:' || user_id::text
     ELSE 'email:' || email END"""
_OPEN: Final = f"""
WITH newest AS (
    SELECT {_SUBJECT} AS subject, login_logs.* FROM login_logs
    WHERE signals <> '{{}}' AND risk >= %s AND time >= %s ORDER BY time DESC, id DESC LIMIT {_NEWEST}
), riskiest AS (
    SELECT DISTINCT ON (subject) newest.*, count(*) OVER subjects AS attempts, min(time) OVER subjects AS first,
           max(time) OVER subjects AS last
    FROM newest
    WHERE NOT EXISTS (SELECT FROM signal_reviews seen WHERE seen.subject = newest.subject AND seen.until >= newest.time)
    WINDOW subjects AS (PARTITION BY subject)
    ORDER BY subject, risk DESC, time DESC, id DESC
)
SELECT {READ}, subject, attempts, first, last, count(*) OVER () AS total FROM riskiest"""  # noqa: S608  # columns


class PostgresOpenSignals:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def open(self, now: float, *, count: int) -> OpenSignals:
        """As ``OddReader`` says."""
        rows = await self._postgres.fetch(
            f"{_OPEN} ORDER BY last DESC, subject LIMIT %s", (ODD, as_datetime(now - KEPT), count)
        )
        return OpenSignals([_odd(row) for row in rows], rows[0]["total"] if rows else 0)

    async def of(self, attempt: uuid.UUID, now: float) -> Odd | None:
        """As ``OddReader`` says."""
        row = await self._postgres.fetch_one(
            f"{_OPEN} WHERE subject = (SELECT subject FROM newest WHERE id = %s)",  # noqa: S608
            (ODD, as_datetime(now - KEPT), attempt),
        )
        return None if row is None else _odd(row)

    async def close(self, odd: Odd, by: str, now: float) -> None:
        """As ``OddReader`` says."""
        await self._postgres.execute(
            "INSERT INTO signal_reviews AS seen (subject, until, reviewed_at, reviewed_by) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (subject) DO UPDATE SET until = greatest(seen.until, EXCLUDED.until),"
            " reviewed_at = EXCLUDED.reviewed_at, reviewed_by = EXCLUDED.reviewed_by",
            (odd.subject, as_datetime(odd.last), as_datetime(now), by),
        )


def _odd(row: dict[str, Any]) -> Odd:
    return Odd(row["subject"], from_row(row), row["attempts"], row["first"].timestamp(), row["last"].timestamp())
