"""The story of an account: what it signed in with, what was changed, which sessions ended, in one order. Pure.

Asked for by ``admin.views.story``; the parts come from the login log, the audit log and the records of sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from admin.lists import ChangeRow
from gatekeeper.journal.attempts import Attempt
from gatekeeper.tokens.durable import SessionRecord


class StoryReader(Protocol):
    """What happened to an account besides logins, the latest first. Everything raises StoreUnavailable."""

    async def changes_of(self, user: str, before: float, *, count: int) -> list[ChangeRow]:
        """Changes that it made, and that were made to it or to its API keys."""

    async def endings_of(self, user: str, before: float, *, count: int) -> list[SessionRecord]:
        """Sessions that have ended, by when."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at ``at`` (Unix seconds): exactly one of the others is set."""

    at: float
    attempt: Attempt | None = None
    change: ChangeRow | None = None
    ending: SessionRecord | None = None

    @property
    def kind(self) -> str:
        """``login``, ``change`` or ``session``."""
        if self.attempt is not None:
            return "login"
        return "change" if self.change is not None else "session"


def told(
    attempts: Sequence[Attempt], changes: Sequence[ChangeRow], endings: Sequence[SessionRecord], *, count: int
) -> tuple[list[Event], float | None]:
    """The latest ``count`` of all, and before which time the story goes on; None where this is all.

    Each part holds the latest of its kind, ``count + 1`` or all. What happened at the same time is not torn apart.
    """
    events = [
        *(Event(one.time, attempt=one) for one in attempts),
        *(Event(one.time, change=one) for one in changes),
        *(Event(one.ended_at or one.expires_at, ending=one) for one in endings),
    ]
    events.sort(key=lambda event: -event.at)
    shown = events[:count]
    rest = events[count:]
    while rest and shown and rest[0].at == shown[-1].at:
        shown.append(rest.pop(0))
    return shown, shown[-1].at if rest else None
