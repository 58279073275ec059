"""Accounts: made, found, changed. Every change raises the version, a lock or log-out everywhere the epoch."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gatekeeper.tokens.sessions import UserState

ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the password's hash; ``created_at`` in Unix seconds.

    ``must_verify``: it was made where e-mails are verified, and may not log in before that. ``must_change``: its
    password opens nothing but the page for another.
    """

    state: UserState
    created_at: float
    password_hash: str | None = field(default=None, repr=False)
    must_verify: bool = False
    must_change: bool = False


class AccountStore(Protocol):
    """Accounts in PostgreSQL. Each method is one statement or transaction; all raise StoreUnavailable."""

    async def create(
        self,
        state: UserState,
        password_hash: str | None,
        now: float,
        *,
        must_verify: bool = False,
        must_change: bool = False,
    ) -> None:
        """Raises Conflict(``users_email_key``) where the e-mail is taken."""

    async def find(self, user: str) -> Account | None: ...

    async def find_by_email(self, email: str) -> Account | None: ...

    async def all(self) -> list[Account]: ...

    async def set_roles(self, user: str, roles: Sequence[str], now: float) -> UserState | None: ...

    async def set_name(self, user: str, name: str | None, now: float) -> UserState | None: ...

    async def set_locked(self, user: str, *, locked: bool, now: float) -> UserState | None:
        """A lock raises the epoch and ends the durable sessions in the same transaction."""

    async def raise_epoch(self, user: str, now: float, *, keep: str | None = None) -> UserState | None:
        """Log out everywhere but ``keep``: raises the epoch, ends the durable sessions."""

    async def set_password(
        self, user: str, password_hash: str, now: float, *, keep: str | None, must_change: bool = False
    ) -> UserState | None:
        """A new password; all sessions but ``keep`` end."""

    async def expire_password(self, user: str, now: float) -> UserState | None:
        """The password must be changed at the next login by it; every session ends. None without a password."""

    async def rehash(self, user: str, old: str, new: str) -> None:
        """Replace a hash by one of the same password, unless it has changed meanwhile."""

    async def drop_password(self, user: str) -> None: ...

    async def has_admin(self) -> bool: ...


class LiveUsers(Protocol):
    """The part of the live records that follows a change. Raises StoreUnavailable."""

    async def adopt_epoch(self, session: str, epoch: int) -> None: ...

    async def put_user(self, user: UserState) -> None: ...


class Accounts:
    """The service: what a change means for sessions is decided here."""

    def __init__(self, store: AccountStore, live: LiveUsers) -> None:
        self._store = store
        self._live = live

    async def create(
        self,
        email: str,
        password_hash: str | None,
        *,
        name: str | None = None,
        roles: Sequence[str] = (),
        now: float,
        must_verify: bool = False,
        must_change: bool = False,
    ) -> UserState:
        """A new account under a canonical e-mail. Raises Conflict where it is taken."""
        state = UserState(
            id=str(uuid.uuid4()),
            email=email,
            email_verified=False,
            name=name,
            roles=tuple(sorted(set(roles))),
            locked=False,
            epoch=1,
            version=1,
        )
        await self._store.create(state, password_hash, now, must_verify=must_verify, must_change=must_change)
        return state

    async def find(self, user: str) -> Account | None:
        """By id."""
        return await self._store.find(user)

    async def find_by_email(self, email: str) -> Account | None:
        """By canonical e-mail."""
        return await self._store.find_by_email(email)

    async def all(self) -> list[Account]:
        """Every account, oldest first."""
        return await self._store.all()

    async def set_roles(self, user: str, roles: Sequence[str], now: float) -> UserState | None:
        """In force on the next request; sessions live on."""
        return await self._follow(await self._store.set_roles(user, sorted(set(roles)), now))

    async def set_name(self, user: str, name: str | None, now: float) -> UserState | None:
        """What the user is called; None removes it."""
        return await self._follow(await self._store.set_name(user, name, now))

    async def lock(self, user: str, now: float) -> UserState | None:
        """No login, and every session ends."""
        return await self._follow(await self._store.set_locked(user, locked=True, now=now))

    async def unlock(self, user: str, now: float) -> UserState | None:
        """Logins again; ended sessions stay ended."""
        return await self._follow(await self._store.set_locked(user, locked=False, now=now))

    async def log_out(self, user: str, now: float, *, keep: str | None = None) -> UserState | None:
        """End every session (but ``keep``)."""
        return await self._follow(await self._store.raise_epoch(user, now, keep=keep), keep=keep)

    async def set_password(
        self, user: str, password_hash: str, now: float, *, keep: str | None = None, must_change: bool = False
    ) -> UserState | None:
        """A new password; every other session ends."""
        state = await self._store.set_password(user, password_hash, now, keep=keep, must_change=must_change)
        return await self._follow(state, keep=keep)

    async def expire_password(self, user: str, now: float) -> UserState | None:
        """The next login by password leads to a new one, and every session ends; None without a password."""
        return await self._follow(await self._store.expire_password(user, now))

    async def put_in_force(self, state: UserState) -> UserState:
        """What another store changed of a user (a link was spent) holds from the next request on."""
        await self._live.put_user(state)
        return state

    async def rehash(self, user: str, old: str, new: str) -> None:
        """Keep the same password under stronger parameters."""
        await self._store.rehash(user, old, new)

    async def drop_password(self, user: str) -> None:
        """No password opens this account until another is set."""
        await self._store.drop_password(user)

    async def has_admin(self) -> bool:
        """Whether anyone could open the panel."""
        return await self._store.has_admin()

    async def _follow(self, state: UserState | None, *, keep: str | None = None) -> UserState | None:
        """Put a changed user in force; ``keep`` is the session that outlives a raised epoch."""
        if state is not None:
            if keep is not None:
                await self._live.adopt_epoch(keep, state.epoch)
            await self._live.put_user(state)
        return state
