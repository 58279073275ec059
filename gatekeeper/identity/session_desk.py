"""Sessions as admins end them, each act with its entry in the audit log. Called by the panel."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from gatekeeper.bans.desk import Actor
from gatekeeper.identity.user_desk import noted
from gatekeeper.journal.audit import AuditLog
from gatekeeper.tokens.durable import SessionRecord
from gatekeeper.tokens.sessions import Sessions

ENDED: Final = "ended-by-admin"


class SessionDesk:
    """The service. Raises StoreUnavailable; times in Unix seconds."""

    def __init__(self, sessions: Sessions, audit: AuditLog) -> None:
        self._sessions = sessions
        self._audit = audit

    async def of_user(self, user: str, now: float) -> list[tuple[SessionRecord, float]]:
        """An account's living sessions, newest first, each with when it was last seen."""
        return await self._sessions.living_of(user, now)

    async def end(self, record: SessionRecord, by: Actor, why: str, now: float) -> None:
        """One session, at once and everywhere."""
        await self._sessions.end([record.id], ENDED, now)
        before: dict[str, object] = {"user": record.user_id, "address": str(record.origin.address)}
        await self._audit.record_change(noted("session.end", record.id, by, why, now, before, {}))

    async def end_all(
        self, portions: AsyncGenerator[list[str], None], described: str, by: Actor, why: str, now: float
    ) -> int:
        """All of these; how many they were. One entry in the audit log says so, also where a store fails on the way."""
        count = 0
        try:
            async for portion in portions:
                await self._sessions.end(portion, ENDED, now)
                count += len(portion)
        finally:
            facts: dict[str, object] = {"sessions": count}
            await self._audit.record_change(noted("session.end-all", described, by, why, now, None, facts))
        return count
