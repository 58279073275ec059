"""How often rules decide, written now and then by each worker, and forgotten after a month. Called by ``app.build``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.observe.metrics import Metrics
from gatekeeper.observe.rule_hits import KEPT, HitStore, RuleHits

WRITE_EVERY: Final = 10.0  # seconds
_FORGET_EVERY: Final = 3600.0

_log = logging.getLogger("gatekeeper.rule_hits")


class HitKeeper:
    """Brings one worker's counts to the store."""

    def __init__(self, metrics: Metrics, store: HitStore, clock: Clock) -> None:
        self._hits = RuleHits()
        self._metrics = metrics
        metrics.follow_rules(self._hits)
        self._store = store
        self._clock = clock
        self._tidied = 0.0

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()
            await self.forget()

    async def write(self) -> None:
        """All that was decided by now; where PostgreSQL is away it waits, rather counted twice than lost."""
        self._metrics.flush()
        taken = self._hits.take()
        if not taken:
            return
        try:
            await self._store.add(taken, self._clock.now())
        except StoreUnavailable as fault:
            self._hits.give_back(taken)
            _log.warning("how often rules decided could not be written yet: %s", fault)

    async def forget(self) -> None:
        """What is too old, once an hour."""
        now = self._clock.now()
        if now < self._tidied + _FORGET_EVERY:
            return
        self._tidied = now
        with contextlib.suppress(StoreUnavailable):
            await self._store.forget(now - KEPT)
