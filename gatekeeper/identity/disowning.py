"""Taking an account back (the link "this was not me"): whoever reads an account's mail ends what somebody else
began with it.

The service behind the link in ``notices`` and its page, ``pages.not_me``.
"""

from __future__ import annotations

from typing import Final

from gatekeeper.errors import Conflict, Problem
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.api_keys import ApiKeys, Author
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.links import (
    RESET_LIFE,
    Addresses,
    Link,
    LinkPurpose,
    LinkStore,
    hashed,
    new_token,
    well_formed,
)
from gatekeeper.journal.audit import AuditLog, Change
from policies.model import Reason

_NOT_GOOD: Final = "This link has been used, has expired, or never was."
_TAKEN: Final = "There is an account with this e-mail already."


class Disowning:
    """The service."""

    def __init__(
        self, accounts: Accounts, links: LinkStore, audit: AuditLog, addresses: Addresses, keys: ApiKeys
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._links = links
        self._audit = audit
        self._addresses = addresses

    async def find(self, token: str, now: float) -> Link | None:
        """The link of a token, for the page that asks before it acts. Raises StoreUnavailable."""
        return await self._links.find(hashed(token), (LinkPurpose.NOT_ME,), now) if well_formed(token) else None

    async def disown(self, token: str, caller: Caller, now: float) -> str:
        """Spend a link; the address where a new password is set.

        Every session ends, no password opens the account, what was to change its e-mail is void, and if that has
        changed since the link was sent it is changed back; every API key and remembered device goes, and second
        factors of since then.
        Raises Problem (400 token-invalid, 409 email-taken), StoreUnavailable.
        """
        link = await self.find(token, now)
        if link is None or link.user is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        before = await self._accounts.find(link.user)
        # First, and harmless to repeat: once the link is spent, nobody could.
        await self._keys.revoke_all(link.user, Author(link.user, caller.address, caller.request_id), now)
        try:
            state = await self._links.disown(hashed(token), now)
        except Conflict:
            raise Problem(409, Reason.EMAIL_TAKEN, _TAKEN) from None
        if state is None or before is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        await self._accounts.put_in_force(state)
        moved = before.state.email != state.email
        change = Change(
            time=now,
            actor=state.id,
            action="user.not-me",
            subject=state.id,
            before={"email": before.state.email} if moved else None,
            after={"email": state.email} if moved else None,
            address=caller.address,
            request_id=caller.request_id,
        )
        await self._audit.record_change(change)
        fresh, kept = new_token()
        await self._links.add(Link(kept, LinkPurpose.RESET, state.id, state.email, now, now + RESET_LIFE))
        return self._addresses.reset(fresh)
