"""What the panel's lists are asked for and made of: filters, rows, places to go on from. Owned by the panel's views,
answered by ``gatekeeper.store.panel``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, Protocol

from gatekeeper.tokens.durable import SessionRecord

REFUSALS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page: the next page begins behind it. ``at`` in Unix seconds."""

    at: float
    id: str


class OpenedBy(StrEnum):
    """What came first when a session was opened."""

    PASSWORD = "password"  # a word
    CODE = "code"
    PASSKEY = "passkey"


class ShownFactor(StrEnum):
    """What a session was opened with besides."""

    NONE = "none"
    ANY = "any"
    PASSKEY = "passkey"


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Open sessions for which all that is set holds; ``email`` is part of one, ``agent`` of a User-Agent, ``city`` of a
    city's name. ``method`` and ``factor`` are how the session was opened; times in Unix seconds. ``seen_before`` is for
    who knows when a session was used last: a reader of records gives those that may be so long unused.
    """

    email: str | None = None
    user_id: str | None = None
    network: IPv4Network | IPv6Network | None = None
    country: str | None = None
    agent: str | None = None
    city: str | None = None
    method: OpenedBy | None = None
    factor: ShownFactor | None = None
    started_before: float | None = None
    seen_before: float | None = None


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Changes for which all that is set holds; ``action`` is a name or its beginning, such as ``user.``; times in
    Unix seconds.
    """

    action: str | None = None
    actor: str | None = None
    subject: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """An entry of the audit log, with e-mails for the ids of accounts that are still there."""

    id: int
    time: float
    actor: str
    actor_email: str | None
    action: str
    subject: str
    subject_email: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Something that many attempts had in common: what, and how many."""

    value: str
    attempts: int


@dataclass(frozen=True, slots=True)
class MostRefused:
    """Whose attempts were refused most; ``reach`` is how far back these were counted (Unix seconds) where there were
    more than are looked at, else None.
    """

    addresses: Sequence[Busy]
    emails: Sequence[Busy]
    reach: float | None


class PanelReader(Protocol):
    """Everything raises StoreUnavailable; lists are newest first, ``after`` a row that was the last one."""

    async def sessions(
        self, wanted: SessionFilter, now: float, *, count: int, after: Place | None = None
    ) -> list[tuple[SessionRecord, str]]:
        """Neither ended nor past their end, with the owner's e-mail."""

    async def session(self, session: str) -> tuple[SessionRecord, str] | None:
        """One, ended or not."""

    async def count_sessions(self, wanted: SessionFilter, now: float) -> int: ...

    async def changes(self, wanted: ChangeFilter, *, count: int, after: int | None = None) -> list[ChangeRow]: ...

    async def change(self, number: int) -> ChangeRow | None:
        """One, by its id."""

    async def emails(self, users: Collection[str]) -> Mapping[str, str]:
        """E-mails of accounts by their ids, of those that there are; what is no id is passed over."""

    async def most_refused(self, since: float, *, count: int) -> MostRefused:
        """Of each kind at most ``count``, among the newest ``REFUSALS`` attempts since then that were no success."""

    async def waiting_mail(self) -> tuple[int, int]:
        """Messages that wait, and those that were given up."""
