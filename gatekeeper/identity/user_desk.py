"""What admins do to other people's accounts, each act with its entry in the audit log. Called by the panel and by
``gatekeeper user``: what an act means is the same in both.

Every entry says by whom, and why where that was asked. Nobody can shut themselves out by accident: locking one's own
account and giving up one's own admin role are refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import Conflict, Problem
from gatekeeper.identity.accounts import LONGEST_NAME, Account, Accounts
from gatekeeper.identity.accounts import ROLE as ROLE_NAME
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.setup import ROLE as ADMIN
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.sessions import UserState
from policies.model import Reason

LONGEST_WHY: Final = 300


class Inviter(Protocol):
    """Makes invitations. Raises StoreUnavailable."""

    async def make(self, email: str, roles: tuple[str, ...], life: float, by: str, now: float) -> str:
        """The address to open."""


class UserDesk:
    """The service. Raises Problem (404, 409, 422) and StoreUnavailable; times in Unix seconds.

    ``invitation_ttl`` in seconds; ``inviter`` is None where nobody may register.
    """

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        audit: AuditLog,
        notices: Notices,
        inviter: Inviter | None,
        *,
        invitation_ttl: float,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._audit = audit
        self._notices = notices
        self._inviter = inviter
        self._invitation_ttl = invitation_ttl

    @property
    def invites(self) -> bool:
        """Whether invitations would be taken."""
        return self._inviter is not None

    async def account(self, user: str) -> Account:
        """By id. Raises Problem (404)."""
        return await account_of(self._accounts, user)

    async def create(
        self,
        typed: str,
        password: str,
        by: Actor,
        now: float,
        *,
        name: str | None = None,
        roles: Sequence[str] = (),
        must_change: bool = False,
    ) -> UserState:
        """An account that may log in at once (``must_change``: to choose another password); its e-mail is not
        confirmed. Raises Problem (409) for a taken one.
        """
        email, wanted, called = checked_email(typed), checked_roles(roles), checked_name(name)
        hashed = await self._hashed(password)
        try:
            user = await self._accounts.create(
                email, hashed, name=called, roles=wanted, now=now, must_change=must_change
            )
        except Conflict:
            raise _taken() from None
        await self._note("user.add", user.id, by, "", now, None, {"email": user.email, "roles": list(user.roles)})
        return user

    async def set_password(
        self, user: str, password: str, by: Actor, why: str, now: float, *, must_change: bool = False
    ) -> None:
        """Another password, for good or (``must_change``) for one login; every session ends, and the owner is told."""
        hashed = await self._hashed(password)

        async def set_it() -> UserState | None:
            return await self._accounts.set_password(user, hashed, now, must_change=must_change)

        after = await self._change("user.password", user, by, why, now, set_it)
        await self._notices.password_changed(after, None, now)

    async def expire_password(self, user: str, by: Actor, why: str, now: float) -> None:
        """Every session ends, and whoever logs in by the password has to choose another first; other ways in, and API
        keys, stay. Raises Problem (422) for an account without a password.
        """
        if (await self.account(user)).password_hash is None:
            raise invalid("user", "This account has no password that could be replaced.")
        await self._change(
            "user.expire-password", user, by, why, now, lambda: self._accounts.expire_password(user, now)
        )

    async def lock(self, user: str, by: Actor, why: str, now: float) -> None:
        """No login, and every session ends."""
        if user == by.name:
            raise invalid("user", "You cannot lock your own account; another admin can.")
        await self._change("user.lock", user, by, why, now, lambda: self._accounts.lock(user, now))

    async def unlock(self, user: str, by: Actor, why: str, now: float) -> None:
        """Logins again; ended sessions stay ended."""
        await self._change("user.unlock", user, by, why, now, lambda: self._accounts.unlock(user, now))

    async def log_out(self, user: str, by: Actor, why: str, now: float) -> None:
        """End every session; one's own stays where it is oneself who asks from it."""
        await self._change("user.logout", user, by, why, now, lambda: self._accounts.log_out(user, now))

    async def set_roles(self, user: str, roles: Sequence[str], by: Actor, why: str, now: float) -> None:
        """In force on the next request."""
        wanted = checked_roles(roles)
        if user == by.name and ADMIN not in wanted:
            raise invalid("roles", "You cannot give up your own admin role; another admin can take it.")
        await self._change("user.role", user, by, why, now, lambda: self._accounts.set_roles(user, wanted, now))

    async def rename(self, user: str, name: str | None, by: Actor, why: str, now: float) -> None:
        """What somebody is called; nothing but blanks takes the name away."""
        called, before = checked_name(name), (await self.account(user)).state
        if await self._accounts.set_name(before.id, called, now) is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such user.")
        await self._note("user.rename", before.id, by, why, now, {"name": before.name}, {"name": called})

    async def invite(
        self, typed: str, roles: Sequence[str], by: Actor, now: float, *, life: float | None = None
    ) -> tuple[str, str]:
        """The e-mail and the link that makes its account, good for ``life`` seconds; it is mailed too.

        Raises Problem (409) for a taken one.
        """
        if self._inviter is None:
            raise Problem(409, Reason.REGISTRATION_CLOSED, "registration.mode is closed: no invitation would be taken.")
        email, wanted = checked_email(typed), tuple(checked_roles(roles))
        if await self._accounts.find_by_email(email) is not None:
            raise _taken()
        link = await self._inviter.make(email, wanted, life or self._invitation_ttl, by.name, now)
        await self._note("user.invite", email, by, "", now, None, {"roles": list(wanted)})
        return email, link

    async def _change(
        self, action: str, user: str, by: Actor, why: str, now: float, act: Callable[[], Awaitable[UserState | None]]
    ) -> UserState:
        before = (await self.account(user)).state
        after = await act()
        if after is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such user.")
        await self._note(action, user, by, why, now, state_facts(before), state_facts(after))
        return after

    async def _hashed(self, password: str) -> str:
        fault = await self._passwords.fault(password)
        if fault is not None:
            raise invalid("password", f"The password {fault}.")
        return await self._passwords.hash(password)

    async def _note(
        self,
        action: str,
        subject: str,
        by: Actor,
        why: str,
        now: float,
        before: dict[str, object] | None,
        after: dict[str, object],
    ) -> None:
        await self._audit.record_change(noted(action, subject, by, why, now, before, after))


def noted(
    action: str,
    subject: str,
    by: Actor,
    why: str,
    now: float,
    before: dict[str, object] | None,
    after: dict[str, object],
) -> Change:
    """The entry of the audit log for an act, with why it was done."""
    said = {**after, "why": why} if why else after
    return Change(now, by.name, action, subject, before, said or None, by.address, by.request_id, by.key)


async def account_of(accounts: Accounts, user: str) -> Account:
    """By id. Raises Problem (404)."""
    try:
        found = await accounts.find(str(uuid.UUID(user)))
    except ValueError:
        found = None
    if found is None:
        raise Problem(404, Reason.NOT_FOUND, "There is no such user.")
    return found


def checked_why(text: str) -> str:
    """Why something is done, for the audit log. Raises Problem (422)."""
    why = text.strip()
    if not why:
        raise invalid("why", "Say why: it goes into the audit log.")
    if len(why) > LONGEST_WHY or not why.isprintable():
        raise invalid("why", f"The reason is one printable line of at most {LONGEST_WHY} characters.")
    return why


def checked_email(typed: str) -> str:
    """The canonical e-mail. Raises Problem (422)."""
    try:
        return canonical_email(typed)
    except InvalidEmail as fault:
        raise invalid("email", f"The e-mail {fault}.") from None


def checked_name(name: str | None) -> str | None:
    """What somebody is called; None for nothing but blanks. Raises Problem (422)."""
    called = (name or "").strip()
    if len(called) > LONGEST_NAME or not called.isprintable():
        raise invalid("name", f"A name is one printable line of at most {LONGEST_NAME} characters.")
    return called or None


def checked_roles(roles: Sequence[str]) -> list[str]:
    """Roles in order, each once. Raises Problem (422)."""
    for role in roles:
        if ROLE_NAME.fullmatch(role) is None:
            raise invalid("roles", "A role is letters, digits and _ . : -, at most 64 of them.")
    return sorted(set(roles))


def invalid(field: str, detail: str) -> Problem:
    """422 that names the field."""
    return Problem(422, Reason.VALIDATION, detail, errors=[{"pointer": f"/{field}", "detail": detail}])


def _taken() -> Problem:
    return Problem(409, Reason.EMAIL_TAKEN, "There is an account with this e-mail already.")


def state_facts(user: UserState) -> dict[str, object]:
    """What acts on accounts change, as the audit log has it."""
    return {"roles": list(user.roles), "locked": user.locked, "epoch": user.epoch}
