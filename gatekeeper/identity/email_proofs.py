"""Whose e-mail is it? Verification and change of e-mails, by a link or a code in a mail to the address in question.

The service behind POST ``email/verify``, ``email/resend``, ``email/change`` and their pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import Conflict, Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Purpose
from gatekeeper.identity.factors.otp import Asked, OneTimeCodes, Recipient
from gatekeeper.identity.links import (
    CONFIRM_LIFE,
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
from gatekeeper.identity.second_step import CodeStrikes
from gatekeeper.identity.step_up import StepUps
from gatekeeper.identity.user_desk import account_of, checked_email, invalid, noted
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from gatekeeper.tokens.sessions import UserState
from policies.bans import Source
from policies.model import Principal, Reason

_NOWHERE: Final = ip_address("::")  # of an admin whose address is not known
_PURPOSES: Final = (LinkPurpose.VERIFY_EMAIL, LinkPurpose.CHANGE_EMAIL)
_NOT_GOOD: Final = "This link has been used, has expired, or never was; ask for another."
_TAKEN: Final = "There is an account with this e-mail already."


class ConfirmPassword(Protocol):
    """Asks for a user's password (``identity.login.PasswordLogin.confirm``). Raises Problem (401, 429, 503)."""

    async def __call__(self, user: str, password: str, caller: Caller, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Whose e-mail is proved; ``dropped``: the account has no password now and wants one."""

    user: UserState
    dropped: bool


class EmailProofs:
    """The service."""

    def __init__(
        self,
        accounts: Accounts,
        codes: OneTimeCodes,
        links: LinkStore,
        notifier: Notifier,
        audit: AuditLog,
        addresses: Addresses,
        step_ups: StepUps,
        strikes: CodeStrikes,
        confirm_password: ConfirmPassword,
        notices: Notices,
    ) -> None:
        self._accounts = accounts
        self._codes = codes
        self._links = links
        self._notifier = notifier
        self._audit = audit
        self._addresses = addresses
        self._step_ups = step_ups
        self._strikes = strikes
        self._confirm_password = confirm_password
        self._notices = notices

    async def ask(self, email: str, caller: Caller, now: float) -> Asked:
        """Link and code to an e-mail that has yet to be verified; the same answer for any other.

        Raises Problem (429), StoreUnavailable.
        """
        recipient = await self._codes.find(email, Purpose.VERIFY_EMAIL)
        return await self.send(recipient, caller, now)

    async def send(self, recipient: Recipient, caller: Caller, now: float, *, tell_owner: bool = False) -> Asked:
        """The same for somebody who has been looked up. Raises Problem (429), StoreUnavailable.

        ``tell_owner``: the e-mail is somebody's already, who gets no code but is told that it was tried.
        """
        asked, code = await self._codes.open(recipient, Purpose.VERIFY_EMAIL, caller, now)
        if code is not None:
            email = recipient.email if recipient.account else None
            link = await self._new_link(LinkPurpose.VERIFY_EMAIL, recipient.user, email, now)
            if tell_owner:
                await self.tell_taken(recipient.email, now)
                return asked
            await self._codes.send(recipient, Purpose.VERIFY_EMAIL, code, now, link=link)
        return asked

    async def change(self, who: Principal, email: str, caller: Caller, now: float) -> Asked:
        """Begin to change the e-mail of somebody who signed in of late; both addresses are told.

        The answer is the same for a taken e-mail, whose owner is told instead. ``email`` is canonical. Raises Problem
        (401 step-up-required or mfa-required, 422, 429), StoreUnavailable.
        """
        await self._step_ups.require_fresh(who, now)
        account = await self._accounts.find(who.subject)
        if account is None:
            raise Problem(401, Reason.SESSION_ENDED)
        if account.state.email == email:
            errors = [{"pointer": "/email", "detail": "is your e-mail already"}]
            raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=errors)
        taken = await self._accounts.find_by_email(email)
        recipient = Recipient(email, None if taken else account)
        whom = f"{who.subject}\0{email}"
        asked, code = await self._codes.open(
            recipient, Purpose.CHANGE_EMAIL, caller, now, whom=whom, epoch=account.state.epoch
        )
        if code is not None:
            link = await self._new_link(LinkPurpose.CHANGE_EMAIL, who.subject, None if taken else email, now)
            if taken is not None:
                await self.tell_taken(taken.state.email, now)
            else:
                await self._codes.send(recipient, Purpose.CHANGE_EMAIL, code, now, link=link)
            await self._notices.email_changing(account.state, email, caller, now)
            await self._note("user.email-change-asked", who.subject, caller, now, after={"email": email})
        return asked

    async def change_of(self, user: str, typed: str, by: Actor, why: str, now: float) -> None:
        """As ``change``, begun by an admin for somebody else: their e-mail is another once they have opened the link in
        the mail to it; both addresses are told. Raises Problem (404, 409 email-taken, 422, 429), StoreUnavailable.
        """
        account, email = await account_of(self._accounts, user), checked_email(typed)
        state = account.state
        if state.id == by.name:
            raise invalid("email", "Change your own e-mail on your account page.")
        if state.email == email:
            raise invalid("email", "That is the account's e-mail already.")
        if await self._accounts.find_by_email(email) is not None:
            raise Problem(409, Reason.EMAIL_TAKEN, _TAKEN)
        caller = Caller(by.address or _NOWHERE, None, "", by.request_id or "")
        whom, recipient = f"{state.id}\0{email}", Recipient(email, account)
        _, code = await self._codes.open(
            recipient, Purpose.CHANGE_EMAIL, caller, now, whom=whom, epoch=account.state.epoch
        )
        if code is None:  # one was sent a moment ago
            return
        link = await self._new_link(LinkPurpose.CHANGE_EMAIL, state.id, email, now)
        await self._codes.send(recipient, Purpose.CHANGE_EMAIL, code, now, link=link)
        await self._audit.record_change(
            noted("user.email-change-asked", state.id, by, why, now, {"email": state.email}, {"email": email})
        )
        await self._notices.email_changing(state, email, None, now)

    async def lacking(self, who: Principal, now: float) -> Problem | None:
        """What ``change`` would ask for first. Raises StoreUnavailable."""
        return await self._step_ups.lacking(who, now)

    async def tell_taken(self, email: str, now: float) -> None:
        """Tell the owner of an account that somebody wanted another with its e-mail. Raises StoreUnavailable."""
        facts = {"link": self._addresses.login, "forgot": self._addresses.forgot}
        await self._notifier.send(Message(Kind.EMAIL_TAKEN, email, now + CONFIRM_LIFE, facts), now)

    async def find(self, token: str, now: float) -> Link | None:
        """The link of a token, for the page that asks before it acts. Raises StoreUnavailable."""
        return await self._links.find(hashed(token), _PURPOSES, now) if well_formed(token) else None

    async def asks_password(self, link: Link) -> bool:
        """Whether whoever opens the link should show the password that was chosen with the account.

        Raises StoreUnavailable.
        """
        account = await self._accounts.find(link.user) if link.user else None
        return account is not None and _unproved(account, link)

    async def confirm_link(self, token: str, caller: Caller, now: float, *, password: str | None = None) -> Confirmed:
        """Spend a link. A new account keeps its password if that is shown: whoever registered may be somebody else,
        who must not share the account with whoever reads its mail.

        Raises Problem (400 token-invalid, 401 invalid-credentials, 409 email-taken, 429, 503), StoreUnavailable.
        """
        link = await self.find(token, now)
        before = await self._accounts.find(link.user) if link is not None and link.user else None
        if link is None or before is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        dropped = False
        if _unproved(before, link):
            if password is not None:
                await self._confirm_password(before.state.id, password, caller, now)
            else:
                await self._accounts.drop_password(before.state.id)
                dropped = True
        try:
            state = await self._links.confirm(hashed(token), now)
        except Conflict:
            raise Problem(409, Reason.EMAIL_TAKEN, _TAKEN) from None
        if state is None:
            raise Problem(400, Reason.TOKEN_INVALID, _NOT_GOOD)
        return Confirmed(await self._done(before.state, state, caller, now), dropped)

    async def password_link(self, user: UserState, now: float) -> str:
        """Where whoever has just proved an e-mail sets a password. Raises StoreUnavailable."""
        token, kept = new_token()
        await self._links.add(Link(kept, LinkPurpose.RESET, user.id, user.email, now, now + RESET_LIFE))
        return self._addresses.reset(token)

    async def confirm_code(self, challenge: str, code: str, caller: Caller, now: float) -> UserState:
        """Spend a challenge by its code.

        Raises Problem (401 otp-invalid, otp-expired; 409 email-taken), StoreUnavailable.
        """
        try:
            answered = await self._codes.answer(challenge, code, Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL, now=now)
        except Problem:
            await self._strikes.strike(Source.OTP, caller.address, now)
            raise
        account = await self._accounts.find(answered.user) if answered.user else None
        email = self._codes.email_of(answered)
        changes = answered.purpose is Purpose.CHANGE_EMAIL
        # A change that was begun before the sessions ended (a new password, "this was not me") is void.
        void = changes and account is not None and answered.facts.get("epoch") != str(account.state.epoch)
        if account is None or void or (not changes and account.state.email != email):
            raise Problem(401, Reason.OTP_INVALID, "The code is not right.")
        return await self.prove(account.state, email, caller, now)

    async def prove(self, user: UserState, email: str, caller: Caller, now: float) -> UserState:
        """A code has proved that ``email`` is the user's. Raises Problem (409 email-taken), StoreUnavailable."""
        try:
            state = await self._links.confirm_code(user.id, email, now)
        except Conflict:
            raise Problem(409, Reason.EMAIL_TAKEN, _TAKEN) from None
        if state is None:
            raise Problem(401, Reason.SESSION_ENDED)
        return await self._done(user, state, caller, now)

    async def _done(self, before: UserState, after: UserState, caller: Caller, now: float) -> UserState:
        await self._accounts.put_in_force(after)
        if before.email == after.email:
            await self._note("user.verify-email", after.id, caller, now)
            return after
        await self._note(
            "user.email", after.id, caller, now, before={"email": before.email}, after={"email": after.email}
        )
        await self._notices.email_changed(before, after, caller, now)
        return after

    async def _new_link(self, purpose: LinkPurpose, user: str | None, email: str | None, now: float) -> str:
        token, kept = new_token()
        await self._links.add(Link(kept, purpose, user, email, now, now + CONFIRM_LIFE))
        return self._addresses.confirm(token)

    async def _note(
        self,
        action: str,
        user: str,
        caller: Caller,
        now: float,
        *,
        before: dict[str, object] | None = None,
        after: dict[str, object] | None = None,
    ) -> None:
        change = Change(now, user, action, user, before, after, caller.address, caller.request_id)
        await self._audit.record_change(change)


def _unproved(account: Account, link: Link) -> bool:
    """A password is there, and nobody knows yet whether it is that of the e-mail's owner."""
    return account.must_verify and account.password_hash is not None and link.purpose is LinkPurpose.VERIFY_EMAIL
