"""Tells all nodes how many tunnels and event streams each session holds on this worker. Called by ``app.build``.

For people who look at sessions: a few seconds old, and off the path of requests.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable

TELL_EVERY: Final = 5.0  # seconds
LIFE: Final = 20.0  # seconds for which what was told counts

_log = logging.getLogger("gatekeeper.held")


class HeldStore(Protocol):
    """Where it is told. Raises StoreUnavailable."""

    async def tell(self, worker: str, changed: Mapping[str, int], gone: Sequence[str], now: float) -> bool:
        """What has changed since this worker told last. False where that is forgotten: then tell everything."""


class HeldKeeper:
    """One worker's; ``held`` says how many connections each session holds here."""

    def __init__(self, held: Callable[[], dict[str, int]], store: HeldStore, clock: Clock) -> None:
        self._held = held
        self._store = store
        self._clock = clock
        self._worker = secrets.token_hex(8)
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY)
            try:
                await self.tell()
            except StoreUnavailable as fault:
                self._told = {}
                _log.debug("who holds connections could not be told: %s", fault)

    async def tell(self) -> None:
        """What has changed; nothing where nothing is held and nothing was. Raises StoreUnavailable."""
        held = self._held()
        if not held and not self._told:
            return
        changed = {session: count for session, count in held.items() if self._told.get(session) != count}
        gone = [session for session in self._told if session not in held]
        there = await self._store.tell(self._worker, changed, gone, self._clock.now())
        if not there and len(changed) < len(held):
            await self._store.tell(self._worker, held, [], self._clock.now())
        self._told = held
