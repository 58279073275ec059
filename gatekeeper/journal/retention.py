"""How long the login log reaches back: months ahead are made, old ones archived and dropped.

``LoginKeeper`` runs in every worker, started by ``gatekeeper.app``; ``gatekeeper logs archive`` calls ``Retention``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.errors import GatekeeperError, StoreUnavailable
from gatekeeper.journal.archive import Archive, ArchiveWriter

KEEP_EVERY: Final = 3600.0  # seconds
_FIRST: Final = 60.0  # seconds after the start, and as much again at random: workers start together
MONTHS_AHEAD: Final = 2
MINUTES_KEPT: Final = 14 * 86_400.0  # seconds that counts by minute are kept, and those by hour of shares and places
HOURS_KEPT: Final = 400 * 86_400.0  # those by hour; those by day are kept for good
SPOOLS_KEPT: Final = 30 * 86_400.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Month:
    """A month's partition; ``name`` is YYYY-MM, times are Unix seconds, ``size`` bytes with its indexes.

    Until ``held`` it is not archived, because it was restored.
    """

    name: str
    end: float
    size: int
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class Expired:
    """A month that is gone from the database; its rows are in ``path``, if anywhere."""

    month: str
    rows: int
    path: Path | None


class LoginMonths(Protocol):
    """The partitions. Raises StoreUnavailable."""

    async def make(self, now: float, ahead: int) -> None:
        """Partitions of this month, the next ``ahead``, and of those that rows have come for."""

    async def months(self) -> list[Month]:
        """Those with a partition, the oldest first."""

    async def take_out(self, month: str) -> None:
        """Its rows are not part of the log any more, but not gone: it is among ``leaving`` now."""

    async def leaving(self) -> list[str]:
        """Months that were taken out, the oldest first."""

    async def remove(self, month: str, archive: ArchiveWriter | None) -> int | None:
        """Hand its rows to ``archive``, and drop it once that is finished; how many rows there were.

        None: somebody else is at it, or done. Raises ArchiveFault too; then the month is still there.
        """

    async def prune(self, minutes: float, hours: float, suppressed: float, spools: float) -> None:
        """Forget counts and marks from before these times."""


class Retention:
    """Months older than ``retain`` seconds, and the oldest while all take more than ``most`` bytes, leave."""

    def __init__(self, months: LoginMonths, archive: Archive | None, *, retain: float | None, most: int | None) -> None:
        self._months = months
        self._archive = archive
        self._retain = retain
        self._most = most

    async def expire(self, now: float, before: float | None = None) -> list[Expired]:
        """Archive and drop what is too old: by the rules, or whatever ended before ``before``.

        Raises StoreUnavailable, ArchiveFault; a month is dropped only after its file is on the disk.
        """
        await self._months.make(now, MONTHS_AHEAD)
        for month in self._due(await self._months.months(), now, before):
            await self._months.take_out(month.name)
        gone = []
        for name in await self._months.leaving():
            writer = self._archive.writer(name) if self._archive else None
            rows = await self._months.remove(name, writer)
            if rows is not None:
                gone.append(Expired(name, rows, writer.path if writer else None))
        return gone

    async def keep(self, now: float) -> list[Expired]:
        """Everything that is to be done from time to time."""
        gone = await self.expire(now)
        await self._months.prune(
            now - MINUTES_KEPT, now - HOURS_KEPT, now - (self._retain or HOURS_KEPT), now - SPOOLS_KEPT
        )
        return gone

    def _due(self, months: list[Month], now: float, before: float | None) -> list[Month]:
        over = [month for month in months if month.end <= now and month.held <= now]
        if before is not None:
            return [month for month in over if month.end <= before]
        due = [month for month in over if self._retain is not None and month.end <= now - self._retain]
        if self._most is not None:
            size = sum(month.size for month in months) - sum(month.size for month in due)
            for month in over:
                if size <= self._most:
                    break
                if month not in due:
                    due.append(month)
                    size -= month.size
        return due


class LoginKeeper:
    """Looks after the months, now and then."""

    def __init__(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Retention]],
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._opened = opened
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """For ever, until cancelled."""
        await asyncio.sleep(_FIRST * (1 + self._chance()))
        while True:
            await self.look()
            await asyncio.sleep(KEEP_EVERY)

    async def look(self) -> None:
        """Once; what goes wrong is logged and tried again the next time."""
        try:
            async with self._opened() as retention:
                gone = await retention.keep(self._clock.now())
            for one in gone:
                _log.info("login log: %s left the database: %d rows, %s", one.month, one.rows, one.path or "dropped")
        except StoreUnavailable as fault:
            _log.warning("login log: old months stay for now: %s", fault)
        except GatekeeperError as fault:
            _log.error("login log: old months stay: %s", fault)  # the fault says it all


def month_of(moment: datetime) -> str:
    """YYYY-MM in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def first_of(name: str) -> float:
    """When a month (YYYY-MM) begins, in Unix seconds. Raises ValueError."""
    return datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC).timestamp()
