"""Out of the spool into the database, in batches, off the way of any request. Run by ``gatekeeper.app``.

While PostgreSQL is away everything waits in the spool. What was written counts once: the store keeps, in the same
transaction, how far each file has been written.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final, Protocol

from gatekeeper.errors import GatekeeperError, StoreUnavailable
from gatekeeper.journal.records import DAMAGED, Batch
from gatekeeper.journal.spool import Spool

ADOPT_EVERY: Final = 30.0  # seconds between looks for what dead workers left
_LINGER: Final = 0.02  # seconds that a batch may gather for
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries while the database is away
_log = logging.getLogger(__name__)


class RowsRefused(GatekeeperError):
    """The database will not take one of these rows as it is; ``str()`` says why, without quoting it."""


class LoginStore(Protocol):
    """Where attempts end up."""

    async def write(self, batch: Batch) -> int:
        """Write and count all of it, or nothing where its file has been written up to another place already.

        Returns the place that its file has been written up to now. Raises StoreUnavailable, RowsRefused.
        """


class Drain:
    """Empties one spool. ``rejects`` takes, as JSON lines, the rows that the database refuses for good."""

    def __init__(self, spool: Spool, store: LoginStore, rejects: Path, *, linger: float = _LINGER) -> None:
        self._spool = spool
        self._store = store
        self._rejects = rejects
        self._linger = linger
        self._settled = asyncio.Condition()

    async def run(self) -> None:
        """For ever, until cancelled."""
        looking = asyncio.create_task(self._look_for_orphans())
        failures = 0
        try:
            while True:
                await self._spool.grown.wait()
                await asyncio.sleep(self._linger)
                self._spool.grown.clear()
                try:
                    await self._empty()
                    failures = 0
                except (StoreUnavailable, OSError) as fault:
                    self._spool.grown.set()
                    pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                    failures += 1
                    if failures == 1:
                        _log.warning("login log: %s; %d records wait in the spool", fault, self._spool.waiting)
                    await asyncio.sleep(pause)
        finally:
            looking.cancel()

    async def settle(self) -> None:
        """Wait until everything that has been recorded by now is in the database, for as long as that takes."""
        async with self._settled:
            await self._settled.wait_for(lambda: self._spool.empty)

    async def _empty(self) -> None:
        while (found := await self._spool.next_batch()) is not None:
            segment, batch = found
            if batch.until == batch.since:  # cannot be: whole lines were promised
                raise OSError(f"{segment.path}: shorter than it was")
            if damaged := len(batch.of(DAMAGED)):
                _log.error("login log: %d damaged lines in %s are left out", damaged, segment.path.name)
            self._spool.written(segment, await self._write(batch), len(batch.entries))
            await self._tell()
        await self._tell()

    async def _tell(self) -> None:
        async with self._settled:
            self._settled.notify_all()

    async def _write(self, batch: Batch) -> int:
        try:
            return await self._store.write(batch)
        except RowsRefused as refusal:
            if len(batch.entries) == 1:
                return await self._reject(batch, str(refusal))
        first, second = batch.halves()  # one that is refused takes no other with it
        await self._write(first)
        return await self._write(second)

    async def _reject(self, batch: Batch, why: str) -> int:
        """Put one row aside and go on."""
        _log.error("login log: a row is refused (%s) and kept in %s", why, self._rejects)
        await asyncio.to_thread(_put_aside, self._rejects, batch.entries[0].json)
        return await self._store.write(batch.without_entries())

    async def _look_for_orphans(self) -> None:
        while True:
            try:
                await self._spool.adopt()
            except OSError as fault:
                _log.warning("login log: the spool cannot be looked through: %s", fault.strerror)
            await asyncio.sleep(ADOPT_EVERY)


def _put_aside(path: Path, json: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json + b"\n")
        file.flush()
        os.fsync(descriptor)
