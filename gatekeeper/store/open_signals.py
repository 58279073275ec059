"""Odd attempts that nobody has dealt with. Implements ``admin.odd.OddReader``; built by ``gatekeeper.app.panel``."""

from __future__ import annotations

import uuid
from typing import Any, Final

from admin.odd import KEPT, NEWEST, ODD, Odd, OpenSignals
from gatekeeper.clock import as_datetime
from gatekeeper.journal.rows import from_row
from gatekeeper.store.login_rows import READ
from gatekeeper.store.postgres import Postgres

# An attack from one address, or by clients that look alike, is one line, however many accounts it tries; all else is
# about an account.
_SUBJECT: Final = """
CASE WHEN 'credential_stuffing' = ANY (signals) AND fingerprint IS NOT NULL THEN 'clients:' || fingerprint
     WHEN signals && ARRAY['password_spray', 'credential_stuffing'] THEN 'address:' || host(address)
     WHEN user_id IS NOT NULL THEN 'user:' || user_id::text
     ELSE 'email:' || email END"""
# What is sorted is narrow: whole rows are fetched of what is shown.
_FOUND: Final = f"""
WITH newest AS (
    SELECT {_SUBJECT} AS subject, time, id, risk FROM login_logs
    WHERE signals <> '{{}}' AND risk >= %s AND time >= %s ORDER BY time DESC, id DESC LIMIT %s
), riskiest AS (
    SELECT DISTINCT ON (subject) subject, time, id, count(*) OVER subjects AS attempts,
           min(time) OVER subjects AS first, max(time) OVER subjects AS last
    FROM newest
    WHERE NOT EXISTS (SELECT FROM signal_reviews seen WHERE seen.subject = newest.subject AND seen.until >= newest.time)
    WINDOW subjects AS (PARTITION BY subject)
    ORDER BY subject, risk DESC, time DESC, id DESC
)"""  # noqa: S608  # columns
# One row at least, which says how far the look went.
_LISTED: Final = f"""
{_FOUND}, listed AS (SELECT *, count(*) OVER () AS total FROM riskiest ORDER BY last DESC, subject LIMIT %s)
SELECT {READ}, subject, attempts, first, last, total, looked_at, reach
FROM (SELECT count(*) AS looked_at, min(time) AS reach FROM newest) AS look
LEFT JOIN (listed JOIN login_logs USING (time, id)) ON true ORDER BY last DESC, subject"""  # noqa: S608
_ONE: Final = f"""
{_FOUND} SELECT {READ}, subject, attempts, first, last FROM riskiest JOIN login_logs USING (time, id)
WHERE subject = (SELECT subject FROM newest WHERE id = %s)"""  # noqa: S608


class PostgresOpenSignals:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def open(self, now: float, *, count: int) -> OpenSignals:
        """As ``OddReader`` says."""
        rows = await self._postgres.fetch(_LISTED, (ODD, as_datetime(now - KEPT), NEWEST, count))
        cut = rows[0]["looked_at"] >= NEWEST
        lines = [_odd(row) for row in rows if row["id"] is not None]
        return OpenSignals(lines, rows[0]["total"] if lines else 0, rows[0]["reach"].timestamp() if cut else None)

    async def of(self, attempt: uuid.UUID, now: float) -> Odd | None:
        """As ``OddReader`` says."""
        row = await self._postgres.fetch_one(_ONE, (ODD, as_datetime(now - KEPT), NEWEST, attempt))
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
