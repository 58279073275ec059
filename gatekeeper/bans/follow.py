"""Keeps a worker's list of bans what the store says. Run for the life of the worker by ``gatekeeper.app``.

The database's version is asked for every second, and at once where another gate says that it changed; only what differs
is read. While the database is gone the last list stays in force (security 23), and bans that other gates announce are
followed all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable
from policies.ban_list import BanList
from policies.bans import Ban, BanStore, entries_of, whole_end

EVERY: Final = 1.0  # seconds between looks at the version

_log = logging.getLogger("gatekeeper.bans")


@dataclass(frozen=True, slots=True)
class Word:
    """What another gate says: that there is a ``version``, or a ``ban`` that the database does not have yet.

    Neither: something may have been missed.
    """

    version: int | None = None
    ban: Ban | None = None


class BanWords(Protocol):
    """What gates tell each other of bans."""

    def words(self) -> AsyncGenerator[Word, None]:
        """For ever; never raises for an outage."""


class BanFollower:
    """Owner of what changes in ``bans``; ``on_change`` is called after each change that may ban somebody."""

    def __init__(
        self,
        store: BanStore,
        words: BanWords,
        bans: BanList,
        clock: Clock,
        *,
        on_change: Callable[[], None] = lambda: None,
        before_look: Callable[[float], Awaitable[None]] | None = None,
        on_store_lost: Callable[[str, str], None] = lambda _store, _policy: None,
    ) -> None:
        self._store = store
        self._words = words
        self._bans = bans
        self._clock = clock
        self._on_change = on_change
        self._before_look = before_look
        self._on_store_lost = on_store_lost
        self._known = 0
        self._hinted = asyncio.Event()

    async def look(self) -> None:
        """Bring the list up to the store's version. Raises StoreUnavailable; what was read until then stays."""
        now = self._clock.now()
        version = await self._store.version()
        if self._bans.ready and version == self._known:
            return
        if not self._bans.ready or version < self._known:  # the first list, or another database
            fresh = self._bans.blank()
            await self._read(fresh, 0, now)
            self._bans.take(fresh)
        else:
            await self._read(self._bans, self._known, now)
        self._known = version
        self._on_change()

    async def ready(self) -> None:
        """For readiness. Raises StoreUnavailable until there is a list."""
        if not self._bans.ready:
            raise StoreUnavailable("postgres", "the bans have not been read yet")

    async def run(self) -> None:
        """Follow, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_looking())
            group.create_task(self._listen())

    async def _read(self, bans: BanList, since: int, now: float) -> None:
        async with contextlib.aclosing(self._store.changes(since, now)) as portions:
            async for entries in portions:
                bans.apply(entries)
                await asyncio.sleep(0)  # the requests go first

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._hinted.wait()
            self._hinted.clear()
            try:
                if self._before_look is not None:
                    await self._before_look(self._clock.now())
                await self.look()
            except StoreUnavailable:
                self._on_store_lost("postgres", "last-list")
            except Exception:  # noqa: BLE001 - no fault may stop the only thing that puts bans in force
                _log.exception("the bans could not be followed")
            self._bans.sweep(self._clock.now())

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._words.words()) as words:
            async for word in words:
                if word.ban is not None:
                    self._bans.apply(entries_of(word.ban.subject, whole_end(word.ban.until)))
                    self._on_change()
                elif word.version is None or word.version > self._known:
                    self._hinted.set()
