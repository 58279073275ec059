"""What happened to an account besides logins, in PostgreSQL. Implements ``admin.story.StoryReader``."""

from __future__ import annotations

import uuid
from typing import Final

from admin.lists import ChangeRow
from gatekeeper.clock import as_datetime
from gatekeeper.store.panel import CHANGE, change_row
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import SESSION_COLUMNS, session_record
from gatekeeper.tokens.durable import SessionRecord

# Each name's newest by its index.
_CHANGES: Final = f"""
WITH names AS (
    SELECT %(user)s AS name UNION ALL SELECT id FROM api_keys WHERE user_id = %(user)s::uuid),
found AS (
    (SELECT id FROM audit_log WHERE actor = %(user)s AND time < %(before)s ORDER BY id DESC LIMIT %(count)s)
    UNION
    SELECT newest.id FROM names CROSS JOIN LATERAL (
        SELECT id FROM audit_log WHERE subject = names.name AND time < %(before)s ORDER BY id DESC LIMIT %(count)s
    ) AS newest)
SELECT {CHANGE} FROM audit_log a JOIN found USING (id) ORDER BY a.id DESC LIMIT %(count)s
"""  # noqa: S608  # columns
_ENDINGS: Final = f"""
SELECT {SESSION_COLUMNS} FROM sessions s WHERE user_id = %s AND ended_at < %s ORDER BY ended_at DESC, id LIMIT %s
"""  # noqa: S608  # columns


class PostgresStory:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def changes_of(self, user: str, before: float, *, count: int) -> list[ChangeRow]:
        values = {"user": user, "before": as_datetime(before), "count": count}
        return [change_row(row) for row in await self._postgres.fetch(_CHANGES, values)]

    async def endings_of(self, user: str, before: float, *, count: int) -> list[SessionRecord]:
        rows = await self._postgres.fetch(_ENDINGS, (uuid.UUID(user), as_datetime(before), count))
        return [session_record(row) for row in rows]
