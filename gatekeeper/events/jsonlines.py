"""Events as JSON lines: one object a line, for whatever collects logs (``notify.lines``).

The file is opened for every batch, so that it can be renamed at any time (logrotate without copytruncate or signals).
Workers share it: each batch is one append.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gatekeeper.events.event import SCHEMA, Event
from gatekeeper.events.hub import Undelivered
from gatekeeper.events.names import Wanted
from gatekeeper.notify.envelope import shown_time
from gatekeeper.observe.logging import dump_line

HOST: Final = socket.gethostname()
_MODE: Final = 0o600


def line_of(event: Event) -> bytes:
    """The documented form, on one line with its line feed, whatever a client sent (security 28)."""
    record = {"schema": SCHEMA, "gate": HOST, "type": event.type, "id": event.id, "time": shown_time(event.time)}
    return dump_line({**record, "data": event.data})


class JsonLines:
    """A receiver of ``events.hub`` that appends to a file, made 0600 where there is none."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path = path
        self._wanted = wanted

    async def take(self, events: Sequence[Event]) -> None:
        """Append what is wanted. Raises Undelivered."""
        lines = [line_of(event) for event in events if event.type in self._wanted]
        if lines:
            await asyncio.to_thread(self._append, b"".join(lines))

    def _append(self, data: bytes) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as fault:
            raise Undelivered(f"{self._path}: {fault.strerror}") from None
