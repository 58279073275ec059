"""What the list of accounts is asked for and made of. Owned by the panel's views, answered by
``gatekeeper.store.panel_users``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from admin.lists import Place


class State(StrEnum):
    """How an account stands."""

    ACTIVE = "active"
    LOCKED = "locked"
    UNVERIFIED = "unverified"  # nobody has shown that the e-mail is theirs
    MUST_CHANGE = "must-change"  # the password has to be replaced at the next login by it


class Held(StrEnum):
    """What second factor an account has."""

    NONE = "none"
    ANY = "any"
    APP = "app"
    PASSKEY = "passkey"


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Users for which all that is set holds; ``text`` is part of an e-mail or a name. ``unseen_since``: who has not
    signed in since then (Unix seconds; 0: who never has). ``but``: the id of one who is left out.
    """

    text: str | None = None
    role: str | None = None
    state: State | None = None
    factor: Held | None = None
    unseen_since: float | None = None
    but: str | None = None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user in a list; times in Unix seconds. ``app``: there is an authenticator app."""

    id: str
    email: str
    email_verified: bool
    name: str | None
    roles: tuple[str, ...]
    locked: bool
    created_at: float
    last_login: float | None
    open_sessions: int
    app: bool
    passkeys: int

    @property
    def second_factors(self) -> int:
        """How many there are."""
        return self.app + self.passkeys


@dataclass(frozen=True, slots=True)
class Found:
    """How many accounts fit, and how many admins are among them."""

    users: int
    admins: int


class UserReader(Protocol):
    """Raises StoreUnavailable."""

    async def users(self, wanted: UserFilter, now: float, *, count: int, after: Place | None = None) -> list[UserRow]:
        """Newest first, behind ``after``."""

    async def places(self, wanted: UserFilter, *, count: int, after: Place | None = None) -> list[Place]:
        """The same without what stands in the rows."""

    async def count_users(self, wanted: UserFilter) -> Found: ...
