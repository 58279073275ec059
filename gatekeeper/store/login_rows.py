"""The rows of ``login_logs``, written exactly once and read for the pages. Built by ``gatekeeper.app``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gatekeeper.clock import as_datetime
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.drain import RowsRefused
from gatekeeper.journal.records import ATTEMPT, SUPPRESSED, Batch
from gatekeeper.journal.rows import COLUMNS, as_row, from_row
from gatekeeper.store.postgres import Postgres, QueryError

_TYPES: Final = {
    "id": "uuid",
    "time": "timestamptz",
    "user_id": "uuid",
    "address": "inet",
    "latitude": "double precision",
    "longitude": "double precision",
    "accuracy_km": "double precision",
    "asn": "bigint",
    "signals": "text[]",
    "evidence": "jsonb",
    "risk": "smallint",
    "latency_ms": "real",
}
_NAMES: Final = ", ".join(COLUMNS)
_RECORD: Final = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
#: The columns as ``journal.rows.from_row`` takes them.
READ: Final = ", ".join("host(address) AS address" if name == "address" else name for name in COLUMNS)
#: A row's place as it is counted.
PLACED: Final = """
coalesce(country, '') AS country, coalesce(city, '') AS city,
coalesce(round(latitude::numeric, 1)::double precision, 'NaN') AS latitude,
coalesce(round(longitude::numeric, 1)::double precision, 'NaN') AS longitude"""
_ROWS: Final = f"jsonb_to_recordset(%s::jsonb) AS row({_RECORD})"
# Attempts that are new, and the counts of those: what comes a second time changes neither.
_WRITE: Final = f"""
WITH fresh AS (
    INSERT INTO login_logs ({_NAMES})
    SELECT {_NAMES} FROM {_ROWS}
    WHERE user_id IS NULL OR NOT EXISTS (SELECT FROM login_erasures erased WHERE erased.user_id = row.user_id)
    ON CONFLICT DO NOTHING
    RETURNING time, result, reason, country, city, latitude, longitude, device_kind, method, browser, os
), placed AS (
    SELECT time, result, login_place_id(country, city, latitude, longitude) AS place, country, city, latitude, longitude
    FROM (SELECT time, result, {PLACED} FROM fresh) AS fresh
), named AS (
INSERT INTO login_places (id, country, city, latitude, longitude)
SELECT DISTINCT place, country, city, latitude, longitude FROM placed ORDER BY place
ON CONFLICT (id) DO NOTHING
), mapped AS (
INSERT INTO login_place_counts AS counts (grain, bucket, place, success, failure, blocked)
SELECT grain, date_trunc(grain, time, 'UTC'), place, count(*) FILTER (WHERE result = 'success'),
       count(*) FILTER (WHERE result = 'failure'), count(*) FILTER (WHERE result = 'blocked')
FROM placed, unnest(ARRAY['day', 'hour']) AS grain
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (grain, bucket, place)
DO UPDATE SET success = counts.success + EXCLUDED.success, failure = counts.failure + EXCLUDED.failure,
    blocked = counts.blocked + EXCLUDED.blocked
), counted AS (
INSERT INTO login_counts AS counts (grain, bucket, result, reason, country, device, attempts)
SELECT grain, date_trunc(grain, time, 'UTC'), result, coalesce(reason, ''), coalesce(country, ''),
       coalesce(device_kind, ''), count(*)
FROM fresh, unnest(ARRAY['day', 'hour', 'minute']) AS grain
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (grain, bucket, result, reason, country, device)
DO UPDATE SET attempts = counts.attempts + EXCLUDED.attempts
), shared AS (
INSERT INTO login_shares AS shares (grain, kind, bucket, result, value, attempts)
SELECT grain, kind, date_trunc(grain, time, 'UTC'), result, coalesce(value, ''), count(*)
FROM fresh, unnest(ARRAY['day', 'hour']) AS grain,
     LATERAL (VALUES ('browser', browser), ('method', method), ('os', os)) AS part (kind, value)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (grain, kind, bucket, result, value)
DO UPDATE SET attempts = shares.attempts + EXCLUDED.attempts
)
SELECT count(*) AS rows FROM fresh
"""  # noqa: S608  # columns
_PUT_BACK: Final = f"""
WITH fresh AS (
    INSERT INTO login_logs ({_NAMES})
    SELECT {_NAMES} FROM {_ROWS}
    WHERE user_id IS NULL OR NOT EXISTS (SELECT FROM login_erasures erased WHERE erased.user_id = row.user_id)
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT count(*) AS rows FROM fresh
"""  # noqa: S608
_LEFT_OUT: Final = (
    "jsonb_to_recordset(%s::jsonb)"
    " AS row(time timestamptz, cap text, subject text, result text, reason text, country text, device text)"
)
_COUNT: Final = f"""
INSERT INTO login_counts AS counts (grain, bucket, result, reason, country, device, suppressed)
SELECT grain, date_trunc(grain, time, 'UTC'), result, coalesce(reason, ''), coalesce(country, ''),
       coalesce(device, ''), count(*)
FROM {_LEFT_OUT}, unnest(ARRAY['day', 'hour', 'minute']) AS grain
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (grain, bucket, result, reason, country, device)
DO UPDATE SET suppressed = counts.suppressed + EXCLUDED.suppressed
"""  # noqa: S608
_COUNT_BY_SUBJECT: Final = f"""
INSERT INTO login_suppressed AS counts (minute, cap, subject, attempts)
SELECT date_trunc('minute', time, 'UTC'), cap, subject, count(*) FROM {_LEFT_OUT}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (minute, cap, subject) DO UPDATE SET attempts = counts.attempts + EXCLUDED.attempts
"""  # noqa: S608
# The spool forgets what is committed, so that must be on the server's disk, whatever the server's own setting.
_ADVANCE: Final = """
INSERT INTO login_spools AS spools (id, position, changed_at) VALUES (%(segment)s, %(until)s, now())
ON CONFLICT (id) DO UPDATE SET position = EXCLUDED.position, changed_at = now() WHERE spools.position = %(since)s
RETURNING position, set_config('synchronous_commit', 'on', true)
"""
_BAD_DATA: Final = ("22", "23")  # SQLSTATE classes: data exception, integrity constraint violation


class PostgresLoginLog:
    """Implements ``journal.attempts.AttemptLog`` and ``journal.drain.LoginStore``, and what the pages read."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record_attempt(self, attempt: Attempt) -> None:
        """One row, once. Raises StoreUnavailable."""
        await self._postgres.execute(_WRITE, (_array([orjson.dumps(as_row(attempt))]),))

    async def write(self, batch: Batch) -> int:
        """As ``journal.drain.LoginStore`` says: rows, counts and the place in the file, together or not at all."""
        attempts, left_out = batch.of(ATTEMPT), batch.of(SUPPRESSED)
        place = {"segment": batch.segment, "since": batch.since, "until": batch.until}
        try:
            async with self._postgres.transaction() as transaction:
                if await transaction.fetch_one(_ADVANCE, place) is None:
                    row = await transaction.fetch_one(
                        "SELECT position FROM login_spools WHERE id = %s", (batch.segment,)
                    )
                    return int(row["position"]) if row else batch.since
                if attempts:
                    await transaction.execute(_WRITE, (_array(attempts),))
                if left_out:
                    await transaction.execute(_COUNT, (_array(left_out),))
                    await transaction.execute(_COUNT_BY_SUBJECT, (_array(left_out),))
        except QueryError as error:
            if (error.sqlstate or "")[:2] in _BAD_DATA:
                raise RowsRefused(str(error)) from None
            raise StoreUnavailable("postgres", f"login log: {error}") from None
        return batch.until

    async def restore(self, rows: Sequence[Mapping[str, object]], *, count: bool) -> int:
        """Rows out of an archive; how many of them were not there. ``count``: they are not in the counts any more."""
        async with self._postgres.transaction() as transaction:
            array = orjson.dumps(list(rows)).decode()
            found = await transaction.fetch_one(_WRITE if count else _PUT_BACK, (array,))
            return int(found["rows"]) if found else 0

    async def counted(self, since: float, until: float) -> bool:
        """Whether there are counts by day of this time, in Unix seconds."""
        sql = "SELECT 1 AS one FROM login_counts WHERE grain = 'day' AND bucket >= %s AND bucket < %s LIMIT 1"
        return await self._postgres.fetch_one(sql, (as_datetime(since), as_datetime(until))) is not None

    async def latest_attempts(self, count: int) -> list[Attempt]:
        """Newest first."""
        rows = await self._postgres.fetch(
            f"SELECT {READ} FROM login_logs ORDER BY time DESC, id DESC LIMIT %s",  # noqa: S608  # columns
            (count,),
        )
        return [from_row(row) for row in rows]

    async def latest_of(self, user: str, count: int) -> list[Attempt]:
        """Those on one account, newest first."""
        rows = await self._postgres.fetch(
            f"SELECT {READ} FROM login_logs WHERE user_id = %s ORDER BY time DESC, id DESC LIMIT %s",  # noqa: S608
            (uuid.UUID(user), count),
        )
        return [from_row(row) for row in rows]


def _array(rows: Sequence[bytes]) -> str:
    return f"[{b','.join(rows).decode()}]"
