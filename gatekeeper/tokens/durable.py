"""The durable records of sessions, for people and for replay after a Redis failover. Kept by ``tokens.sessions``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from policies.model import Address

if TYPE_CHECKING:
    from gatekeeper.tokens.sessions import Session, UserState


@dataclass(frozen=True, slots=True)
class SessionOrigin:
    """Where a session was opened from."""

    address: Address
    country: str | None
    user_agent: str
    city: str | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The durable record, as people see it."""

    id: str
    user_id: str
    started_at: float
    expires_at: float
    ended_at: float | None
    end_reason: str | None
    origin: SessionOrigin
    amr: tuple[str, ...]


class SessionRecords(Protocol):
    """The durable records. All methods raise StoreUnavailable."""

    async def started(self, session: Session, origin: SessionOrigin, now: float) -> None: ...

    async def ended(self, sessions: Sequence[str], reason: str, now: float) -> None: ...

    async def open_of(self, user: str, now: float) -> list[SessionRecord]: ...

    async def find(self, session: str) -> SessionRecord | None:
        """One record, ended or not."""


class TheftNews(Protocol):
    """Hears of a refresh token that came a second time. Never raises for a store."""

    async def __call__(self, record: SessionRecord, user: UserState, now: float) -> None: ...


async def nobody_hears(record: SessionRecord, user: UserState, now: float) -> None:
    """Until somebody is there to be told."""
