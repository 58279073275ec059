r"""Lines of the spool: a checksum, a kind, JSON. Written and read by ``journal.spool``, made by ``journal.recorder``.

``CRC KIND JSON\n``: CRC-32 of the rest of the line in eight hexadecimal digits; kind ``A`` is an attempt as a row of
its own, ``S`` one that is only counted (``{"time", "cap", "subject", "result", "reason", "country", "device"}``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

ATTEMPT: Final = b"A"
SUPPRESSED: Final = b"S"
DAMAGED: Final = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: its kind (b"" where the checksum does not hold), its JSON, and the byte it ends before."""

    kind: bytes
    json: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lines of one file, from byte ``since`` to byte ``until``."""

    segment: UUID
    since: int
    until: int
    entries: Sequence[Entry] = ()

    def of(self, kind: bytes) -> list[bytes]:
        """The JSON of the entries of one kind."""
        return [entry.json for entry in self.entries if entry.kind == kind]

    def halves(self) -> tuple[Batch, Batch]:
        """The first half of the entries and the others."""
        first, second = self.entries[: len(self.entries) // 2], self.entries[len(self.entries) // 2 :]
        middle = first[-1].end
        return Batch(self.segment, self.since, middle, first), Batch(self.segment, middle, self.until, second)

    def without_entries(self) -> Batch:
        """The same place, with nothing to be written."""
        return Batch(self.segment, self.since, self.until)


def encode(kind: bytes, json: bytes) -> bytes:
    """A whole line."""
    rest = kind + b" " + json
    return b"%08x %b\n" % (zlib.crc32(rest), rest)


def decode(segment: UUID, since: int, data: bytes) -> Batch:
    """The whole lines at the beginning of ``data``, which stands at ``since`` in its file."""
    entries, end = [], since
    for line in data.split(b"\n")[:-1]:
        end += len(line) + 1
        entries.append(Entry(*_parse(line), end))
    return Batch(segment, since, end, entries)


def _parse(line: bytes) -> tuple[bytes, bytes]:
    """Kind and JSON; no kind where the line is damaged."""
    rest = line[9:]
    if line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(rest) or rest[1:2] != b" ":
        return DAMAGED, b""
    return rest[:1], rest[2:]
