"""Rows of the made-up company that no service writes as they stand. Used by ``app.demo``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gatekeeper.clock import as_datetime
from gatekeeper.store.postgres import Postgres

_SESSIONS: Final = """
INSERT INTO sessions (id, user_id, started_at, expires_at, ended_at, end_reason, address, country, city,
  user_agent, amr)
SELECT id, user_id, started_at, expires_at, ended_at, end_reason, address, country, city, user_agent, amr
FROM jsonb_to_recordset(%s::jsonb)
  AS row(id text, user_id uuid, started_at timestamptz, expires_at timestamptz, ended_at timestamptz, end_reason text,
         address inet, country text, city text, user_agent text, amr text[])
"""


class PostgresDemo:
    """Each method is one statement. Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def has_users(self) -> bool:
        """Whether there is one account, or one row of the login log."""
        row = await self._postgres.fetch_one(
            "SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM login_logs) AS found"
        )
        return bool(row and row["found"])

    async def add_sessions(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows by the names of the columns; times as RFC 3339."""
        await self._postgres.execute(_SESSIONS, (orjson.dumps(list(rows)).decode(),))

    async def make_month(self, moment: float) -> None:
        """The login log's partition of the month that holds it (Unix seconds)."""
        await self._postgres.fetch("SELECT login_logs_month(%s)", (as_datetime(moment),))
