"""Lines on their way out: bounded, batched, never in the way of an event loop. Used by ``observe.logging`` and
``observe.access``.

Whoever has a line appends it and goes on; one thread writes. Where the reader of standard error is too slow, lines
are dropped and counted rather than requests held up.
"""

from __future__ import annotations

import io
import os
import re
import select
import stat
import threading
from typing import Final, Protocol, TextIO

_MOST_WAITING: Final = 8 << 20  # bytes of lines that wait to be written
_LONGEST_LINE: Final = 64 << 10
_BATCH_PAUSE: Final = 0.02  # seconds in which lines gather before they are written

# Characters that end a line, move a cursor or turn text around: C0, DEL, C1, line and paragraph separators,
# bidirectional controls, the byte order mark and lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)


def escaped(text: str) -> str:
    r"""``text`` on one line: what could break or disguise a line as ``\n`` or ``\uXXXX`` (security 28)."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0]) or f"\\u{ord(match[0]):04x}"


class Lines(Protocol):
    """Where finished lines go."""

    def write(self, line: bytes) -> None: ...


class LineWriter:
    """Writes whole lines to a stream from a thread of its own. ``write`` may be called by any thread.

    A regular file or a terminal gets a batch in one call; a pipe, which several processes of the gate share, gets
    pieces that the kernel keeps whole (PIPE_BUF).
    """

    def __init__(self, stream: TextIO, *, most_waiting: int = _MOST_WAITING) -> None:
        self._descriptor = _descriptor_of(stream)
        self._stream = stream
        self._piece = _piece_size(self._descriptor)
        self._most_waiting = most_waiting
        self._waiting: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._closing = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines given up so far because they could not be written in time."""
        return self._dropped

    def write(self, line: bytes) -> None:
        """Take one line, which ends in its only line feed."""
        if len(line) > _LONGEST_LINE:
            line = line[:_LONGEST_LINE].decode("utf-8", "ignore").encode() + b"\n"
        with self._lock:
            if self._size + len(line) > self._most_waiting:
                self._dropped += 1
                return
            self._waiting.append(line)
            self._size += len(line)
            if len(self._waiting) == 1:
                self._filled.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, for at most ``timeout`` seconds, and end the thread."""
        self._closing.set()
        self._filled.set()
        self._thread.join(timeout)
        self._given_up = True

    def _run(self) -> None:
        told = 0
        while not self._given_up:
            self._filled.wait()
            self._closing.wait(_BATCH_PAUSE)
            last = self._closing.is_set()
            with self._lock:
                batch, self._waiting, self._size = self._waiting, [], 0
                dropped = self._dropped
                self._filled.clear()
            if dropped != told:
                batch.append(b"%d log lines were dropped: the reader of this stream is too slow\n" % (dropped - told))
                told = dropped
            try:
                self._put(batch)
            except (OSError, ValueError):  # the reader is gone: nobody left to tell
                self._dropped += len(batch)
            if last and not self._waiting:
                return

    def _put(self, batch: list[bytes]) -> None:
        if self._descriptor is None:
            self._stream.write(b"".join(batch).decode())
            self._stream.flush()
            return
        for piece in _pieces(batch, self._piece):
            rest = piece
            while rest and not self._given_up:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # another process made our shared terminal or pipe non-blocking
                    select.select([], [self._descriptor], [], 1.0)


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return None


def _piece_size(descriptor: int | None) -> int:
    if descriptor is not None and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return select.PIPE_BUF
    return 1 << 20


def _pieces(batch: list[bytes], most: int) -> list[bytes]:
    """The batch in pieces of whole lines of at most ``most`` bytes; a longer line is a piece of its own."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for line in batch:
        if piece and size + len(line) > most:
            pieces.append(b"".join(piece))
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        pieces.append(b"".join(piece))
    return pieces
