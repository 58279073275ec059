"""Links in mail: a token that does one thing, once, for a while. Used by ``recovery`` and ``registration``.

The token is in the mail and nowhere else; the database keeps its SHA-256. Links lead to ``public_url``, whatever Host
a request named (security 21). Where nobody is meant a link is kept all the same that nobody has (security 15).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gatekeeper.tokens.sessions import UserState

RESET_LIFE: Final = 1800.0  # seconds
CHANGE_LIFE: Final = 600.0
CONFIRM_LIFE: Final = 86_400.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class LinkPurpose(StrEnum):
    """What a link does."""

    RESET = "reset"
    VERIFY_EMAIL = "verify-email"
    CHANGE_EMAIL = "change-email"
    INVITATION = "invitation"
    CHANGE_PASSWORD = "change-password"  # never mailed: whoever has just shown the old one is led there
    NOT_ME = "not-me"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the database keeps it; times in Unix seconds.

    ``email`` is the address that it was sent to and only works for; ``roles`` are those of an invitation.
    """

    token_hash: bytes
    purpose: LinkPurpose
    user: str | None
    email: str | None
    created_at: float
    expires_at: float
    roles: tuple[str, ...] = ()
    created_by: str | None = None


class LinkStore(Protocol):
    """Links in PostgreSQL. Each method is one statement or transaction; all raise StoreUnavailable."""

    async def add(self, link: Link) -> None:
        """The user's older links of this purpose end (not those of NOT_ME); so do an e-mail's older invitations."""

    async def find(self, token_hash: bytes, purposes: Sequence[LinkPurpose], now: float) -> Link | None:
        """A link that could be used now."""

    async def reset(self, token_hash: bytes, password_hash: str, now: float) -> UserState | None:
        """Spend a RESET or CHANGE_PASSWORD link: the new password, every session ends, and what was mailed has
        verified the e-mail.
        """

    async def confirm(self, token_hash: bytes, now: float) -> UserState | None:
        """Spend a link that verifies or changes an e-mail. Raises Conflict where it has been taken meanwhile."""

    async def confirm_code(self, user: str, email: str, now: float) -> UserState | None:
        """The same for a code that was right: ``email`` is verified, and becomes the user's where it is not yet."""

    async def disown(self, token_hash: bytes, now: float) -> UserState | None:
        """Spend a NOT_ME link: sessions, password, pending changes, and what was added since, are gone; the e-mail is
        that of the link. Raises Conflict where somebody else has it by now.
        """

    async def accept(self, token_hash: bytes, state: UserState, password_hash: str, now: float) -> UserState | None:
        """Spend an invitation and make the account, with its roles. Raises Conflict where the e-mail is taken."""


def new_token() -> tuple[str, bytes]:
    """A token for a mail, and what the database keeps of it."""
    token = secrets.token_urlsafe(32)
    return token, hashed(token)


def hashed(token: str) -> bytes:
    """SHA-256: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def well_formed(token: str) -> bool:
    """Whether it could be one of ours."""
    return _TOKEN.fullmatch(token) is not None


class Addresses:
    """Where links in mail lead."""

    def __init__(self, public_url: str, prefix: str) -> None:
        self._base = f"{public_url}{prefix}"

    def reset(self, token: str) -> str:
        return f"{self._base}/reset?token={token}"

    def confirm(self, token: str) -> str:
        return f"{self._base}/confirm-email?token={token}"

    def register(self, token: str) -> str:
        return f"{self._base}/register?invite={token}"

    def not_me(self, token: str) -> str:
        return f"{self._base}/not-me?token={token}"

    @property
    def login(self) -> str:
        return f"{self._base}/login"

    @property
    def account(self) -> str:
        return f"{self._base}/account"

    @property
    def forgot(self) -> str:
        return f"{self._base}/forgot"
