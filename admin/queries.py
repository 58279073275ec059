"""What the panel reads: Protocols over the stores, and rows as its views show them. Called by ``admin.views``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from gatekeeper.journal.attempts import Attempt
from gatekeeper.tokens.durable import SessionRecord
from gatekeeper.tokens.sessions import Session

SHOWN: Final = 50  # rows of a list
_ASKED: Final = 200  # open records among which the newest living ones are looked for


class AttemptReader(Protocol):
    """Login attempts. Raises StoreUnavailable."""

    async def latest_attempts(self, count: int) -> list[Attempt]:
        """Newest first."""


class SessionReader(Protocol):
    """Durable records of sessions. Raises StoreUnavailable."""

    async def latest_open(self, count: int, now: float) -> list[tuple[SessionRecord, str]]:
        """Neither ended nor past their end, with the owner's e-mail, newest first."""


class LiveSessions(Protocol):
    """Sessions as Redis has them. Raises StoreUnavailable."""

    async def find(self, session: str) -> Session | None: ...


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that lives, and whose it is; ``seen_at`` in Unix seconds."""

    record: SessionRecord
    email: str
    seen_at: float


class PanelQueries:
    """Reads for the panel's lists. ``idle_ttl`` in seconds."""

    def __init__(
        self, *, attempts: AttemptReader, sessions: SessionReader, live: LiveSessions, idle_ttl: float
    ) -> None:
        self._attempts = attempts
        self._sessions = sessions
        self._live = live
        self._idle_ttl = idle_ttl

    async def logins(self) -> list[Attempt]:
        """The last attempts, newest first."""
        return await self._attempts.latest_attempts(SHOWN)

    async def sessions(self, now: float) -> list[OpenSession]:
        """The newest sessions that would be let in now: the durable record does not know which have idled out."""
        records = await self._sessions.latest_open(_ASKED, now)
        found = await asyncio.gather(*(self._live.find(record.id) for record, _ in records))
        living = [
            OpenSession(record, email, session.seen_at)
            for (record, email), session in zip(records, found, strict=True)
            if session is not None and session.alive(now, self._idle_ttl)
        ]
        return living[:SHOWN]
