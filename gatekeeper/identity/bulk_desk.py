"""What admins do to many accounts at once: all that a filter finds. Called by the panel.

Each account gets its entry in the audit log, so that its story has it, and one more entry says what was asked for as a
whole. Whoever asks is left out: nobody locks or logs out themselves by a filter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.user_desk import noted, state_facts
from gatekeeper.journal.audit import Change
from gatekeeper.tokens.sessions import UserState

_AT_ONCE: Final = 100  # records that are put into Redis in one go, so that requests do not wait for them
_PAUSES: Final = (0.0, 0.3, 1.0)  # seconds between tries to put them there


class BulkAct(StrEnum):
    """What can be done to many."""

    LOCK = "lock"
    UNLOCK = "unlock"
    LOGOUT = "logout"
    EXPIRE_PASSWORD = "expire-password"  # a word


@dataclass(frozen=True, slots=True)
class Altered:
    """An account before and after."""

    before: UserState
    after: UserState


class ManyAccounts(Protocol):
    """Each method is one transaction over these accounts, and gives those that it has changed: whoever is locked, or
    has no password to expire, is passed over. Raises StoreUnavailable.
    """

    async def lock(self, users: Sequence[str], now: float) -> list[Altered]: ...

    async def unlock(self, users: Sequence[str], now: float) -> list[Altered]: ...

    async def log_out(self, users: Sequence[str], now: float) -> list[Altered]: ...

    async def expire_passwords(self, users: Sequence[str], now: float) -> list[Altered]: ...


class LiveUsers(Protocol):
    """The live records. Raises StoreUnavailable."""

    async def put_user(self, user: UserState) -> None: ...


class Journal(Protocol):
    """The audit log. Raises StoreUnavailable."""

    async def record_change(self, change: Change) -> None: ...

    async def record_changes(self, changes: Sequence[Change]) -> None: ...


class BulkDesk:
    """The service. Raises StoreUnavailable; times in Unix seconds."""

    def __init__(self, accounts: ManyAccounts, live: LiveUsers, journal: Journal) -> None:
        self._live = live
        self._journal = journal
        self._acts: Mapping[BulkAct, Callable[[Sequence[str], float], Awaitable[list[Altered]]]] = {
            BulkAct.LOCK: accounts.lock,
            BulkAct.UNLOCK: accounts.unlock,
            BulkAct.LOGOUT: accounts.log_out,
            BulkAct.EXPIRE_PASSWORD: accounts.expire_passwords,
        }

    async def act(
        self, act: BulkAct, portions: AsyncGenerator[list[str], None], described: str, by: Actor, why: str, now: float
    ) -> int:
        """Do it to all of these; how many were changed. Where a store fails on the way, what was done until then holds
        and the log says how many that were.
        """
        count = 0
        try:
            async for portion in portions:
                altered = await self._acts[act]([user for user in portion if user != by.name], now)
                count += len(altered)
                await self._put_in_force(altered)
                await self._journal.record_changes([_entry(act, one, by, why, now) for one in altered])
        finally:
            facts: dict[str, object] = {"accounts": count}
            await self._journal.record_change(noted(f"user.{act}-all", described, by, why, now, None, facts))
        return count

    async def _put_in_force(self, altered: Sequence[Altered]) -> None:
        """In PostgreSQL it holds already, and whoever asks again may not find these accounts by the same filter any
        more: so Redis is tried more than once.
        """
        for first in range(0, len(altered), _AT_ONCE):
            some = altered[first : first + _AT_ONCE]
            for tries, pause in enumerate(_PAUSES, 1):
                await asyncio.sleep(pause)
                try:
                    await asyncio.gather(*(self._live.put_user(one.after) for one in some))
                    break
                except StoreUnavailable:
                    if tries == len(_PAUSES):
                        raise


def _entry(act: BulkAct, one: Altered, by: Actor, why: str, now: float) -> Change:
    return noted(f"user.{act}", one.after.id, by, why, now, state_facts(one.before), state_facts(one.after))
