"""The folder in which the workers of one gate add up their metrics. Made by ``supervisor``, used by prometheus_client.

It lives in the system's folder for temporary files as long as the supervisor does. What a killed one left is removed
by the next: its lock ended with it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
_PREFIX: Final = "gatekeeper-metrics-"


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """An empty folder of our own, removed at the end."""
    sweep(Path(tempfile.gettempdir()))
    folder, lock = _make_and_hold()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_and_hold() -> tuple[Path, int]:
    """A folder and the lock on it; another gate's ``sweep`` may take one away before its lock is ours."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def sweep(place: Path) -> None:
    """Remove the folders in ``place`` that are ours and that no living supervisor holds."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def forget_gauges(folder: Path, pid: int) -> None:
    """What a worker that has ended said of its present; what it counted still counts."""
    for file in folder.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)
