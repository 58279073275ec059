"""New accounts: open to all, by invitation, or closed. The service behind POST ``register`` and its page.

Where e-mails are verified, a free and a taken one get the same answer in the same time (security 15): the account is
made and waits for its link or code; of a taken e-mail the owner is told.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from gatekeeper.errors import Conflict, Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.factors.otp import Asked, Recipient
from gatekeeper.identity.limits import AttemptCounter, Rate, take_or_refuse
from gatekeeper.identity.links import Addresses, Link, LinkPurpose, LinkStore, hashed, new_token, well_formed
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.tallies import REGISTER
from gatekeeper.inbound import rate_key
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from gatekeeper.tokens.sessions import UserState
from policies.model import Reason

_CLOSED = "Accounts are made by an administrator here."
_BY_INVITATION = "Accounts are made by invitation here."
_INVITATION_OVER = "This invitation has been used, has expired, or never was."


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """Who may register, and what is asked of them; ``mode`` as it is in force."""

    mode: Literal["open", "invite", "closed"]
    verify_email: bool
    per_address: Rate


class Invitations:
    """Makes and finds invitations. Called by ``registration`` and by ``gatekeeper user invite``."""

    def __init__(self, links: LinkStore, notifier: Notifier, addresses: Addresses) -> None:
        self._links = links
        self._notifier = notifier
        self._addresses = addresses

    async def make(self, email: str, roles: tuple[str, ...], life: float, by: str, now: float) -> str:
        """The address to open; it is mailed too. An older one for the same e-mail ends. Raises StoreUnavailable.

        ``email`` is canonical, ``life`` in seconds.
        """
        token, kept = new_token()
        await self._links.add(Link(kept, LinkPurpose.INVITATION, None, email, now, now + life, roles, by))
        link = self._addresses.register(token)
        facts = {"link": link, "days": str(max(round(life / 86_400), 1))}
        await self._notifier.send(Message(Kind.INVITATION, email, now + life, facts), now)
        return link

    async def find(self, token: str, now: float) -> Link | None:
        """The invitation of a token, for the page that shows its e-mail. Raises StoreUnavailable."""
        return await self._links.find(hashed(token), (LinkPurpose.INVITATION,), now) if well_formed(token) else None


class Registration:
    """The service."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        links: LinkStore,
        invitations: Invitations,
        proofs: EmailProofs,
        audit: AuditLog,
        counter: AttemptCounter,
        settings: RegistrationSettings,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._links = links
        self.invitations = invitations
        self._proofs = proofs
        self._audit = audit
        self._counter = counter
        self.settings = settings

    def refuse_unless_open(self, *, invited: bool) -> None:
        """Raises Problem (403 registration-closed) where nobody, or nobody uninvited, may register."""
        mode = self.settings.mode
        if mode == "closed" or (mode == "invite" and not invited):
            raise Problem(403, Reason.REGISTRATION_CLOSED, _CLOSED if mode == "closed" else _BY_INVITATION)

    async def register(
        self, email: str, password: str, name: str | None, caller: Caller, now: float, *, invitation: str | None = None
    ) -> UserState | Asked:
        """The account; or, where its e-mail is to be verified first, what was sent (or seems to have been).

        ``email`` is canonical. Raises Problem: 403 registration-closed, 409 email-taken (never where e-mails are
        verified), 422, 429, 503 busy; StoreUnavailable.
        """
        self.refuse_unless_open(invited=invitation is not None)
        fault = await self._passwords.fault(password)
        if fault is not None:
            raise _invalid("/password", fault)
        await take_or_refuse(self._counter, self.settings.per_address, *REGISTER.key(rate_key(caller.address)))
        if invitation is not None:
            return await self._accept(invitation, email, password, name, caller, now)
        if self.settings.verify_email:
            return await self._register_unseen(email, password, name, caller, now)
        hashed_password = await self._passwords.hash(password)
        try:
            user = await self._accounts.create(email, hashed_password, name=name, now=now)
        except Conflict:
            raise _taken() from None
        await self._note(user, caller, now)
        return user

    async def _register_unseen(self, email: str, password: str, name: str | None, caller: Caller, now: float) -> Asked:
        """One look, one Argon2 and one mail, whoever has the e-mail."""
        account = await self._accounts.find_by_email(email)
        if account is not None and account.must_verify and not account.state.locked:
            # Of two who claim an e-mail before it is verified, neither may end up with the other's password.
            if not await self._passwords.verify(account.password_hash, password):
                await self._accounts.drop_password(account.state.id)
            return await self._proofs.send(Recipient(email, account), caller, now)
        hashed_password = await self._passwords.hash(password)
        try:
            user = await self._accounts.create(email, hashed_password, name=name, now=now, must_verify=True)
        except Conflict:
            return await self._proofs.send(Recipient(email, None), caller, now, tell_owner=True)
        await self._note(user, caller, now)
        return await self._proofs.send(Recipient(email, Account(user, now, must_verify=True)), caller, now)

    async def _accept(
        self, token: str, email: str, password: str, name: str | None, caller: Caller, now: float
    ) -> UserState:
        found = await self.invitations.find(token, now)
        if found is None:
            raise Problem(403, Reason.REGISTRATION_CLOSED, _INVITATION_OVER)
        if found.email != email:
            raise _invalid("/email", "is not the address that was invited")
        state = UserState(
            id=str(uuid.uuid4()),
            email=email,
            email_verified=True,
            name=name,
            roles=found.roles,
            locked=False,
            epoch=1,
            version=1,
        )
        try:
            made = await self._links.accept(hashed(token), state, await self._passwords.hash(password), now)
        except Conflict:
            raise _taken() from None
        if made is None:
            raise Problem(403, Reason.REGISTRATION_CLOSED, _INVITATION_OVER)
        await self._note(made, caller, now, invited_by=found.created_by)
        return made

    async def _note(self, user: UserState, caller: Caller, now: float, *, invited_by: str | None = None) -> None:
        after: dict[str, object] = {"email": user.email}
        if invited_by is not None:
            after |= {"roles": list(user.roles), "invited_by": invited_by}
        change = Change(
            time=now,
            actor=user.id,
            action="user.register",
            subject=user.id,
            after=after,
            address=caller.address,
            request_id=caller.request_id,
        )
        await self._audit.record_change(change)


def _invalid(pointer: str, detail: str) -> Problem:
    return Problem(422, Reason.VALIDATION, "The body has errors.", errors=[{"pointer": pointer, "detail": detail}])


def _taken() -> Problem:
    return Problem(409, Reason.EMAIL_TAKEN, "There is an account with this e-mail already.")
