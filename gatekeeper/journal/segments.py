"""Files of the spool: who owns one, how far it is good, what is left behind by the dead. For ``journal.spool``.

``<uuid>.spool`` in ``data_dir/spool`` is held by an flock for as long as its owner lives, so whoever can lock one has
found what a dead process left. Every function here may block on the disk and runs in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gatekeeper.journal.records import Batch, decode

SUFFIX: Final = ".spool"
_DRAFT: Final = ".new"
_DRAFT_LIFE: Final = 3600.0  # seconds that one may take to get its name
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Segment:
    """An open, locked file. ``end`` is how many of its bytes are whole lines on the disk, ``lines`` how many those
    are, ``read`` how many bytes have been written to the database.
    """

    id: uuid.UUID
    path: Path
    descriptor: int
    end: int = 0
    lines: int = 0
    read: int = 0

    @property
    def drained(self) -> bool:
        """Whether everything in it is in the database."""
        return self.read >= self.end

    def append(self, data: bytes, *, sync: bool) -> None:
        """Write whole lines behind ``end``; all of them or none. Raises OSError."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.descriptor, view) :]
            if sync:
                os.fdatasync(self.descriptor)
        except OSError:
            os.ftruncate(self.descriptor, self.end)
            raise

    def batch(self, most: int) -> Batch:
        """The next lines, about ``most`` bytes of them and at least one. Raises OSError."""
        data = b""
        while b"\n" not in data and self.read + len(data) < self.end:
            wanted = min(len(data) + most, self.end - self.read)
            data = os.pread(self.descriptor, wanted, self.read)
            if len(data) < wanted:
                break
        return decode(self.id, self.read, data)

    def remove(self) -> None:
        """Unlink and let go; once is as good as twice."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go; another process may take it up."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def create(folder: Path) -> Segment:
    """A new file of our own. It has its name only once it is locked: nobody takes it for an orphan. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = uuid.uuid4()
    path = folder / f"{name}{SUFFIX}"
    draft = path.with_suffix(_DRAFT)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
        _sync_folder(folder)
    except OSError:
        os.close(descriptor)
        raise
    return Segment(name, path, descriptor)


def orphans(folder: Path) -> list[Segment]:
    """What dead processes left, the oldest first, ours from now on. Raises OSError."""
    _sweep(folder)
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=_changed):
        segment = _adopt(path)
        if segment is not None:
            found.append(segment)
    return found


def _adopt(path: Path) -> Segment | None:
    try:
        name = uuid.UUID(path.stem)
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (ValueError, FileNotFoundError):
        return None
    except OSError as fault:
        _log.warning("login log: %s is left in the spool: %s", path.name, fault.strerror)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino != os.fstat(descriptor).st_ino:
            raise FileNotFoundError
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    # What a kill cut off in the middle of a line was never answered.
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return Segment(name, path, descriptor, end=data.rfind(b"\n") + 1, lines=data.count(b"\n"))


def _sweep(folder: Path) -> None:
    """Remove what a kill left between the making of a file and its naming."""
    for draft in folder.glob(f"*{_DRAFT}"):
        with contextlib.suppress(FileNotFoundError):
            if draft.stat().st_mtime < folder.stat().st_mtime - _DRAFT_LIFE:
                draft.unlink()


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sync_folder(folder: Path) -> None:
    """Make the file's name as durable as what will be in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
