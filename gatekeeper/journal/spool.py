"""The spool: login attempts on the local disk, before they are answered, until the database has them.

``journal.recorder`` appends, ``journal.drain`` takes out. One a worker; what a killed worker left is adopted by
whichever looks next. Appends of the same moment share one write and one sync.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.records import Batch, encode
from gatekeeper.journal.segments import Segment, create, orphans

_SEGMENT: Final = 4 << 20  # bytes after which a new file is begun
_BATCH: Final = 512 << 10  # bytes that are read at once


class Spool:
    """Files below ``folder``. Opened by ``open``, closed by ``close``; for one event loop.

    ``sync``: an append is on the disk itself, not only with the operating system, when it returns. ``most`` bounds
    what may wait, in bytes.
    """

    def __init__(self, folder: Path, *, sync: bool, most: int, segment: int = _SEGMENT) -> None:
        self._folder = folder
        self._sync = sync
        self._most = most
        self._segment = segment
        self._disk = ThreadPoolExecutor(1, "spool")
        self._current: Segment | None = None
        self._older: deque[Segment] = deque()
        self._lines: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self.grown = asyncio.Event()  # set by every append and adoption

    @property
    def waiting(self) -> int:
        """Lines in our files that are not known to be in the database."""
        return sum(segment.lines for segment in self._segments())

    @property
    def empty(self) -> bool:
        """Whether the database has everything."""
        return not self._lines and all(segment.drained for segment in self._segments())

    async def append(self, kind: bytes, json: bytes) -> None:
        """Keep one record. Raises StoreUnavailable: the disk is full or broken, or too much waits already."""
        if self._closed:
            raise StoreUnavailable("spool", "closed")
        if sum(segment.end - segment.read for segment in self._segments()) > self._most:
            raise StoreUnavailable("spool", "full")
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.append((encode(kind, json), kept))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await kept

    async def adopt(self) -> None:
        """Take over what dead processes left, and let go of what the database has. Raises OSError."""
        self._retire()
        found = await asyncio.get_running_loop().run_in_executor(self._disk, orphans, self._folder)
        self._older.extendleft(reversed(found))
        if found:
            self.grown.set()

    async def next_batch(self) -> tuple[Segment, Batch] | None:
        """The oldest lines that wait; None when there are none. Raises OSError."""
        while (segment := self._oldest()) is not None:
            if not segment.drained:
                return segment, await asyncio.to_thread(segment.batch, _BATCH)
            await asyncio.get_running_loop().run_in_executor(self._disk, segment.remove)
            self._older.remove(segment)
        return None

    def written(self, segment: Segment, position: int, lines: int) -> None:
        """The database has the file up to ``position``, ``lines`` more of it than before."""
        segment.read = max(segment.read, position)
        segment.lines = 0 if segment.drained else max(segment.lines - lines, 0)

    async def close(self) -> None:
        """Let go of the files; those that the database has are removed, others stay for the next process."""
        self._closed = True
        if self._writer is not None:
            await asyncio.wait([self._writer])
        for segment in self._segments():
            end = segment.remove if segment.drained else segment.close
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().run_in_executor(self._disk, end)
        self._older.clear()
        self._current = None
        self._disk.shutdown()

    def _retire(self) -> None:
        """Begin another file once all of this one is in the database: nobody's data stays here for longer."""
        idle = self._writer is None or self._writer.done()
        if self._current is not None and idle and self._current.end and self._current.drained:
            self._older.append(self._current)
            self._current = None
            self.grown.set()

    def _segments(self) -> list[Segment]:
        return [*self._older, *([self._current] if self._current else [])]

    def _oldest(self) -> Segment | None:
        if self._older:
            return self._older[0]
        return self._current if self._current is not None and not self._current.drained else None

    async def _write(self) -> None:
        while self._lines:
            taken, self._lines = self._lines, []
            fault: str | None = None
            try:
                await self._keep(b"".join(line for line, _ in taken), len(taken))
            except OSError as error:
                fault = error.strerror or type(error).__name__
            for _, kept in taken:
                if kept.done():  # whoever asked has gone; what was kept stays
                    continue
                if fault is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(StoreUnavailable("spool", fault))
            self.grown.set()

    async def _keep(self, data: bytes, lines: int) -> None:
        run = asyncio.get_running_loop().run_in_executor
        if self._current is None or self._current.end > self._segment:
            fresh = await run(self._disk, create, self._folder)
            if self._current is not None:
                self._older.append(self._current)
            self._current = fresh
        segment = self._current
        await run(self._disk, partial(segment.append, data, sync=self._sync))
        segment.end += len(data)
        segment.lines += lines
