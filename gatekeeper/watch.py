"""Files that are read again when they change: certificates, lists of networks. Used by ``gatekeeper.doors``.

Looking at them twice a second costs next to nothing and works wherever files come from: editors, certbot, a mounted
secret whose symbolic link moves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

LOOK_EVERY: Final = 0.5  # seconds
Kind = TypeVar("Kind")
_Signature = tuple[tuple[int, ...] | None, ...]

_log = logging.getLogger("gatekeeper.watch")


class WatchedFiles(Generic[Kind]):
    """``files`` that hold what ``name`` (a key of the configuration) says.

    ``read`` runs in a thread and raises ValueError, in words for an operator, for what is bad; ``use`` gets what it
    returned and runs in the loop. What is bad changes nothing; ``on_read`` is told each time whether it was good.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        read: Callable[[], Kind],
        use: Callable[[Kind], None],
        *,
        on_read: Callable[[bool], None],
    ) -> None:
        self._name = name
        self._files = tuple(files)
        self._read = read
        self._use = use
        self._on_read = on_read
        self._seen = self._before = _signature(self._files)
        on_read(True)

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Read them again if they changed, and then stood still from one look to the next: no half of a pair."""
        now = await asyncio.to_thread(_signature, self._files)
        settled, self._before = now == self._before, now
        if settled and now != self._seen:
            self._seen = now
            await self.read_again()

    async def read_again(self) -> None:
        """Read them whether they changed or not."""
        try:
            found = await asyncio.to_thread(self._read)
        except ValueError as bad:
            _log.error("%s: %s; what was read before stays in force", self._name, bad)
            self._on_read(False)
            return
        self._use(found)
        self._on_read(True)
        _log.info("%s: read again", self._name)


def _signature(files: Sequence[Path]) -> _Signature:
    return tuple(map(_stat, files))


def _stat(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
