"""The first admin: a link that is printed at the start and makes one account, once.

Links are made by ``gatekeeper.bootstrap`` while there is no admin, and spent by the setup page.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from typing import Final, Protocol

from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.sessions import UserState
from policies.model import Address

LIFE: Final = 3600.0  # seconds
ROLE: Final = "admin"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SetupLinks(Protocol):
    """Links as the database keeps them, by SHA-256. All methods raise StoreUnavailable."""

    async def add(self, token_hash: bytes, *, now: float, until: float) -> None:
        """A new link; the older ones end."""

    async def good(self, token_hash: bytes, now: float) -> bool: ...

    async def consume(self, token_hash: bytes, state: UserState, password_hash: str, now: float) -> bool:
        """Spend the link and make the account, in one statement. Raises Conflict where the e-mail is taken."""


class AdminFinder(Protocol):
    """Knows whether anyone could open the panel. Raises StoreUnavailable."""

    async def has_admin(self) -> bool: ...


class FirstAdmin:
    """The service behind ``P/setup/<token>``."""

    def __init__(self, links: SetupLinks, accounts: AdminFinder, audit: AuditLog) -> None:
        self._links = links
        self._accounts = accounts
        self._audit = audit

    async def make_link(self, now: float) -> str:
        """The token of a new link, good for an hour; it is not kept in clear, and older links end."""
        token = secrets.token_urlsafe(32)
        await self._links.add(_hash(token), now=now, until=now + LIFE)
        return token

    async def good(self, token: str, now: float) -> bool:
        """Whether the link could be used now: never once there is an admin."""
        if _TOKEN.fullmatch(token) is None or not await self._links.good(_hash(token), now):
            return False
        return not await self._accounts.has_admin()

    async def consume(
        self,
        token: str,
        email: str,
        password_hash: str,
        name: str | None,
        now: float,
        *,
        address: Address | None = None,
        request_id: str | None = None,
    ) -> UserState | None:
        """Make the admin under a canonical e-mail; None where the link is not good (any more).

        Of any number of calls at once, one makes an account. Raises Conflict where the e-mail is taken; the link
        stays good then.
        """
        if not await self.good(token, now):
            return None
        state = UserState(
            id=str(uuid.uuid4()),
            email=email,
            email_verified=False,
            name=name,
            roles=(ROLE,),
            locked=False,
            epoch=1,
            version=1,
        )
        if not await self._links.consume(_hash(token), state, password_hash, now):
            return None
        await self._audit.record_change(
            Change(
                time=now,
                actor=state.id,
                action="user.setup",
                subject=state.id,
                after={"email": email, "roles": [ROLE]},
                address=address,
                request_id=request_id,
            )
        )
        return state


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
