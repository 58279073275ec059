"""One gate a data folder: ``data_dir/lock``, held by ``flock`` so that it ends with its holder.

Used by ``gatekeeper.store.embedded``.
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


class DataLock:
    """The lock of one data folder; the file stays, as removing it would let two hold it."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "lock"
        self._handle: int | None = None

    def try_take(self) -> bool:
        """Take it unless another process holds it; ``StartupError`` when the file cannot be used at all."""
        try:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"{self._file} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except OSError as error:
            os.close(handle)
            raise StartupError(f"{self._file} cannot be locked: {error.strerror}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return True

    def take(self, patience: float) -> None:
        """Take it, waiting up to ``patience`` seconds; ``StartupError`` names who holds it."""
        deadline = time.monotonic() + patience
        while not self.try_take():
            if time.monotonic() >= deadline:
                raise StartupError(
                    f"storage.data_dir: {self._file.parent} is in use by another gate (pid {self.holder()});"
                    " stop that one, or give this one another data_dir"
                )
            time.sleep(_STEP)

    def holder(self) -> int:
        """The process that took it last."""
        return read_pid(self._file)

    def release(self) -> None:
        """Give it up; also the kernel does, when this process ends."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
