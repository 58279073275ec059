"""Who uses a data folder, by ``flock`` so that a lock ends with its holder: ``lock`` (one gate) and ``guests``.

Used by ``gatekeeper.store.embedded``. A guest is a command attached to the servers of another process.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded.process import read_pid

_STEP: Final = 0.05  # seconds between two tries


class FileLock:
    """A lock on a file, which stays: removing it would let two hold it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle: int | None = None

    def try_take(self, *, shared: bool = False) -> bool:
        """Take it unless another process is in the way; ``StartupError`` when the file cannot be used at all."""
        try:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"{self._file} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                return False
            raise StartupError(f"{self._file} cannot be locked: {error.strerror}") from None
        if not shared:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return True

    def take(self, patience: float) -> bool:
        """Take it, waiting up to ``patience`` seconds; whether that worked."""
        deadline = time.monotonic() + patience
        while not self.try_take():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        return True

    def holder(self) -> int:
        """The process that took it last, for messages."""
        return read_pid(self._file)

    def release(self) -> None:
        """Give it up; also the kernel does, when this process ends."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
