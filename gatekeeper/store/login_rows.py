"""The rows of ``login_logs``, written exactly once and read for the pages. Built by ``gatekeeper.app``."""

from __future__ import annotations

import uuid
from typing import Final

import orjson

from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.rows import COLUMNS, as_row, from_row
from gatekeeper.store.postgres import Postgres

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
_READ: Final = ", ".join("host(address) AS address" if name == "address" else name for name in COLUMNS)
INSERT: Final = (
    f"INSERT INTO login_logs ({_NAMES}) SELECT {_NAMES} FROM jsonb_to_recordset(%s::jsonb) AS row({_RECORD})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)


class PostgresLoginLog:
    """Implements ``journal.attempts.AttemptLog``, and what the pages read."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record_attempt(self, attempt: Attempt) -> None:
        """One row, once."""
        await self._postgres.execute(INSERT, (orjson.dumps([as_row(attempt)]).decode(),))

    async def latest_attempts(self, count: int) -> list[Attempt]:
        """Newest first."""
        rows = await self._postgres.fetch(
            f"SELECT {_READ} FROM login_logs ORDER BY time DESC, id LIMIT %s",  # noqa: S608  # columns
            (count,),
        )
        return [from_row(row) for row in rows]

    async def latest_of(self, user: str, count: int) -> list[Attempt]:
        """Those on one account, newest first."""
        rows = await self._postgres.fetch(
            f"SELECT {_READ} FROM login_logs WHERE user_id = %s ORDER BY time DESC, id LIMIT %s",  # noqa: S608
            (uuid.UUID(user), count),
        )
        return [from_row(row) for row in rows]
