"""A forgotten password: one link by mail, a new password, every session over. Behind ``password/forgot``, ``/reset``.

A known and an unknown e-mail take the same steps (security 15).
"""

from __future__ import annotations

from typing import Final

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Purpose
from gatekeeper.identity.factors.otp import OneTimeCodes
from gatekeeper.identity.limits import AttemptCounter, Rate, account_key, take_or_refuse
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
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.tallies import FORGOT_ADDRESS, FORGOT_MAILBOX
from gatekeeper.inbound import rate_key
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from gatekeeper.tokens.sessions import UserState
from policies.model import Reason

_PURPOSES: Final = (LinkPurpose.RESET, LinkPurpose.CHANGE_PASSWORD)
_NOT_GOOD = "This link has been used, has expired, or never was; ask for another."


class Recovery:
    """The service."""

    def __init__(
        self,
        accounts: Accounts,
        codes: OneTimeCodes,
        passwords: Passwords,
        links: LinkStore,
        notifier: Notifier,
        audit: AuditLog,
        counter: AttemptCounter,
        addresses: Addresses,
        notices: Notices,
        *,
        per_address: Rate,
        per_email: Rate,
        counter_secret: bytes,
    ) -> None:
        self._accounts = accounts
        self._codes = codes
        self._passwords = passwords
        self._links = links
        self._notifier = notifier
        self._audit = audit
        self._counter = counter
        self._addresses = addresses
        self._notices = notices
        self._per_address = per_address
        self._per_email = per_email
        self._secret = counter_secret

    async def forgot(self, email: str, caller: Caller, now: float) -> None:
        """A link to the e-mail, if it is known; older ones end. Raises Problem (429), StoreUnavailable."""
        await take_or_refuse(self._counter, self._per_address, *FORGOT_ADDRESS.key(rate_key(caller.address)))
        recipient = await self._codes.find(email, Purpose.LOGIN)
        mailbox = account_key(self._secret, recipient.email)
        await take_or_refuse(self._counter, self._per_email, *FORGOT_MAILBOX.key(mailbox))
        known = recipient.account is not None
        token, kept = new_token()
        link = Link(kept, LinkPurpose.RESET, recipient.user, recipient.email if known else None, now, now + RESET_LIFE)
        await self._links.add(link)
        facts = {"link": self._addresses.reset(token), "minutes": str(int(RESET_LIFE / 60))}
        message = Message(Kind.PASSWORD_RESET, recipient.email, now + RESET_LIFE, facts)
        await self._notifier.send(message, now, decoy=not known)

    async def find(self, token: str, now: float) -> Link | None:
        """The link, where it could be used now: mailed, or what a login with a password that has to be replaced led
        to. Raises StoreUnavailable.
        """
        return await self._links.find(hashed(token), _PURPOSES, now) if well_formed(token) else None

    async def reset(self, token: str, password: str, caller: Caller, now: float) -> UserState:
        """Spend the link; of any number of calls at once, one sets its password.

        Raises Problem: 400 token-invalid, 422 for a password that may not be one, 503 busy; StoreUnavailable.
        """
        link = await self.find(token, now)
        if link is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        demanded = link.purpose is LinkPurpose.CHANGE_PASSWORD
        fault = await self._passwords.fault(password)
        if fault is None and demanded and await self._is_the_old(link, password):
            fault = "is the one that has to be replaced"
        if fault is not None:
            errors = [{"pointer": "/password", "detail": fault}]
            raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=errors)
        state = await self._links.reset(hashed(token), await self._passwords.hash(password), now)
        if state is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        await self._accounts.put_in_force(state)
        change = Change(
            time=now,
            actor=state.id,
            action="user.password" if demanded else "user.password-reset",
            subject=state.id,
            address=caller.address,
            request_id=caller.request_id,
        )
        await self._audit.record_change(change)
        await self._notices.password_changed(state, caller, now)
        return state

    async def _is_the_old(self, link: Link, password: str) -> bool:
        account = None if link.user is None else await self._accounts.find(link.user)
        return await self._passwords.verify(account.password_hash if account else None, password)
