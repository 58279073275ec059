"""How the supervisor and its children talk: lines on a socket pair that ends with either process.

Used by ``children`` on one side, ``worker`` and ``example_upstream`` on the other. Imports little: it is what a child
process begins with.

Supervisor to child: at first one line, what it needs (``handover.HandOver``, for workers only), later ``drain``,
``reload`` with a configuration, or ``keep`` with what is wrong where one was found to be no good. Child to supervisor:
``{"ready": true}``, or ``{"failed": "why, in one line"}`` before it ends. End of file means that the other is gone.
"""

from __future__ import annotations

import asyncio
import json
import select
import signal
import socket
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

LONGEST_LINE: Final = 64 << 20  # bytes; thousands of rules
DRAIN: Final = b"drain\n"
KEEP: Final = b"keep "
RELOAD: Final = b"reload "


class Order(Enum):
    """What a child is to do."""

    DRAIN = "finish what was begun, then end"
    ABANDONED = "the supervisor is gone: end soon"


@dataclass(frozen=True, slots=True)
class Keep:
    """A new configuration is no good, for these reasons: the old one stays."""

    faults: tuple[str, ...]

    def dump(self) -> bytes:
        """As the line that a child is sent."""
        return KEEP + json.dumps(self.faults).encode() + b"\n"


class Control:
    """The child's end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, descriptor: int) -> Self:
        """Over the inherited ``descriptor``."""
        pair = socket.socket(fileno=descriptor)
        pair.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=pair, limit=LONGEST_LINE))

    async def hand_over(self) -> bytes | None:
        """What the supervisor sends once the stores are up, however long that takes; None when it ended before."""
        line = await self._reader.readline()
        return line if line.endswith(b"\n") else None

    async def order(self) -> Order | Keep | bytes:
        """The next order, or the JSON of a new configuration; returns when there is one."""
        try:
            line = await self._reader.readline()
        except OSError:
            line = b""
        if line.startswith(RELOAD):
            return line.removeprefix(RELOAD)
        if line.startswith(KEEP) and line.endswith(b"\n"):
            return Keep(tuple(json.loads(line.removeprefix(KEEP))))
        return Order.DRAIN if line == DRAIN else Order.ABANDONED

    def say_ready(self) -> None:
        """Requests are answered from now on."""
        self._writer.write(b'{"ready":true}\n')

    def say_failed(self, why: str) -> None:
        """The work of this process cannot be done; it ends."""
        self._writer.write(json.dumps({"failed": why}).encode() + b"\n")

    async def close(self) -> None:
        """Send what was said and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


def obey_supervisor_only() -> None:
    """Ctrl-C and a lost terminal reach the whole process group; the supervisor decides what they mean."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by the supervisor until here


def end_with_supervisor(descriptor: int, grace: float) -> None:
    """A last resort: ``grace`` seconds after the supervisor is gone this process ends even if its loop is stuck.

    Else it would hold the port against the next start.
    """
    threading.Thread(target=_watch, args=(descriptor, grace), name="last-resort", daemon=True).start()


def _watch(descriptor: int, grace: float) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP and POLLERR are always reported
    poll.poll()
    threading.Event().wait(grace)
    signal.raise_signal(signal.SIGKILL)
