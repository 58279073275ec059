r"""Archives of the login log: a compressed file a month. Written by ``journal.retention``, read by ``gatekeeper logs``.

``login-log-YYYY-MM.jsonl.gz`` holds the rows as ``journal.rows.public`` makes them, a line each, ordered by time and
id, and as its last line what it is, how many rows it has and the SHA-256 of the lines before. A file is replaced whole
or not at all. Everything here may block on the disk and runs in a thread.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gatekeeper.errors import GatekeeperError

_NAME: Final = re.compile(r"login-log-(\d{4}-\d{2})\.jsonl\.gz")
_FORMAT: Final = "gatekeeper-login-log"
_VERSION: Final = 1
_LEVEL: Final = 6
_Key = tuple[str, str]


class ArchiveFault(GatekeeperError):
    """An archive cannot be read or written; ``str()`` names the file and says why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole and undamaged archive says of itself."""

    month: str
    rows: int


class Archive:
    """The files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, month: str) -> Path:
        """Where the file of ``month`` (YYYY-MM) is, or will be."""
        return self.folder / f"login-log-{month}.jsonl.gz"

    def months(self) -> list[str]:
        """Those of which there is a file, the oldest first."""
        return sorted(match[1] for path in self.folder.glob("*") if (match := _NAME.fullmatch(path.name)))

    def writer(self, month: str) -> ArchiveWriter:
        """Adds rows to the file of a month, which may be there already."""
        return ArchiveWriter(self.path(month), month)

    def keep(self, month: str, wanted: Callable[[Mapping[str, Any]], bool]) -> int:
        """Write a file anew with the rows that are ``wanted``; how many were not. Raises ArchiveFault."""
        path = self.path(month)
        verify(path)
        left_out = 0
        with contextlib.closing(_Draft(path)) as draft:
            for line in _rows(path):
                if wanted(orjson.loads(line)):
                    draft.add(line)
                else:
                    left_out += 1
            if left_out:
                draft.finish(month)
        return left_out


class ArchiveWriter:
    """One month's file in the making. Rows come ordered by time and id; those already there are not doubled."""

    def __init__(self, path: Path, month: str) -> None:
        self.path = path
        self._month = month
        self._draft: _Draft | None = None
        self._before: Iterator[bytes] = iter(())
        self._next: bytes | None = None

    def add(self, lines: list[str]) -> None:
        """Raises ArchiveFault: the folder cannot be written to, or the file that is there is damaged."""
        draft = self._draft or self._begin()
        for line in map(str.encode, lines):
            key = _key(line)
            while self._next is not None and (before := _key(self._next)) <= key:
                if before < key:
                    draft.add(self._next)
                self._next = next(self._before, None)
            draft.add(line)

    def finish(self) -> int:
        """The file is on the disk under its name; how many rows it has. Raises ArchiveFault."""
        draft = self._draft or self._begin()
        while self._next is not None:
            draft.add(self._next)
            self._next = next(self._before, None)
        return draft.finish(self._month)

    def discard(self) -> None:
        """Leave everything as it was, unless it is finished."""
        if self._draft is not None:
            self._draft.close()

    def _begin(self) -> _Draft:
        if self.path.exists():
            verify(self.path)
            self._before = _rows(self.path)
            self._next = next(self._before, None)
        self._draft = _Draft(self.path)
        return self._draft


class _Draft:
    """A file that gets its name when it is whole. Raises ArchiveFault from the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_suffix(f".draft-{os.getpid()}")
        self._hash = hashlib.sha256()
        self._rows = 0
        with _said_of(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._raw = os.fdopen(os.open(self._draft, flags, 0o600), "wb")
            self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._raw, mtime=0)

    def add(self, line: bytes) -> None:
        with _said_of(self._path):
            self._hash.update(line + b"\n")
            self._file.write(line + b"\n")
            self._rows += 1

    def finish(self, month: str) -> int:
        last = {
            "archive": _FORMAT,
            "version": _VERSION,
            "month": month,
            "rows": self._rows,
            "sha256": self._hash.hexdigest(),
        }
        with _said_of(self._path):
            self._file.write(orjson.dumps(last) + b"\n")
            self._file.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._draft.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._rows

    def close(self) -> None:
        self._raw.close()
        self._draft.unlink(missing_ok=True)


def verify(path: Path) -> Contents:
    """Read all of it. Raises ArchiveFault: it is none, is cut off, or was changed."""
    digest, rows, last = hashlib.sha256(), 0, b""
    for line in _lines(path):
        if last:
            digest.update(last)
            rows += 1
        last = line
    try:
        said = orjson.loads(last)
        if said["archive"] != _FORMAT or said["version"] != _VERSION:
            raise ArchiveFault(f"{path}: an archive of a version that is not known here")
        month = str(said["month"])
        good = said["rows"] == rows and said["sha256"] == digest.hexdigest()
    except (ValueError, KeyError, TypeError):
        raise ArchiveFault(f"{path}: no archive of the login log, or the end is missing") from None
    if not good:
        raise ArchiveFault(f"{path}: damaged: rows or checksum are not what its last line says")
    return Contents(month, rows)


def read(path: Path, at_once: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a verified archive, some at a time. Raises ArchiveFault."""
    batch = []
    for line in _rows(path):
        batch.append(orjson.loads(line))
        if len(batch) >= at_once:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(path: Path) -> Iterator[bytes]:
    """Every line but the last, without its end."""
    held: bytes | None = None
    for line in _lines(path):
        if held is not None:
            yield held.rstrip(b"\n")
        held = line


def _lines(path: Path) -> Iterator[bytes]:
    with _said_of(path), gzip.open(path) as file:
        yield from file


@contextlib.contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """What goes wrong, as a fault that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise ArchiveFault(f"{path}: there is no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ArchiveFault(f"{path}: damaged, or no gzip file") from None
    except OSError as fault:
        raise ArchiveFault(f"{path}: {fault.strerror or fault}") from None


def _key(line: bytes) -> _Key:
    row = orjson.loads(line)
    return row["time"], row["id"]
