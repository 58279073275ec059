"""Child processes of the supervisor: how they are started, heard, kept alive and ended. Used by ``supervisor``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import orjson

from gatekeeper.control import DRAIN
from gatekeeper.errors import StartupError

STARTUP: Final = 60.0  # seconds that a child may take until it is ready
FIRST_PAUSE: Final = 0.1  # seconds before a crashed child is started again; doubled for each crash in a row
LONGEST_PAUSE: Final = 5.0
STEADY: Final = 30.0  # seconds of life after which a crash is no longer in a row with the one before
_LAST_BREATH: Final = 5.0  # seconds between a child's last word and its end
_ROOT: Final = Path(__file__).parents[1]

_log = logging.getLogger("gatekeeper.supervisor")


@dataclass(slots=True)
class Child:
    """A started process and the supervisor's end of its socket pair."""

    process: subprocess.Popen[bytes]
    control: socket.socket = field(repr=False)

    @classmethod
    def spawn(
        cls,
        module: str,
        arguments: Sequence[str],
        inherited: Sequence[socket.socket],
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """``python -m module --control FD arguments...`` with the ``inherited`` sockets under their numbers.

        ``environment`` is added to ours.

        SIGINT is blocked in it until it has a say in the matter: a Ctrl-C reaches the supervisor alone.
        """
        ours, theirs = socket.socketpair()
        # -P: the current folder is no place to import from, unless it is where this code was found.
        isolated = ["-P"] if Path.cwd() != _ROOT else []
        command = [sys.executable, *isolated, "-m", module, "--control", str(theirs.fileno()), *arguments]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                pass_fds=[theirs.fileno(), *(one.fileno() for one in inherited)],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return cls(process, ours)

    def kill(self) -> None:
        """End it at once and collect it."""
        self.process.kill()  # does nothing to one that was collected
        self.process.wait()

    def close(self) -> None:
        """The same, when nobody listens to it any more."""
        self.kill()
        self.control.close()


class Keeper:
    """Keeps one kind of child running: starts it again when it ends by itself, with growing pauses.

    ``on_end`` is told the number of each process that has ended.
    """

    def __init__(
        self, name: str, spawn: Callable[[], Child], *, on_end: Callable[[int], None] = lambda _: None
    ) -> None:
        self.name = name
        self._spawn = spawn
        self._on_end = on_end
        self._hand_over = b""
        self._ready: asyncio.Future[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._draining: asyncio.Event = asyncio.Event()
        self.child = spawn()

    @property
    def pid(self) -> int:
        """The process in this place now."""
        return self.child.process.pid

    async def keep(self, hand_over: bytes, ready: asyncio.Future[None]) -> None:
        """Give the child ``hand_over``, settle ``ready`` once it says so, and keep it alive until ``drain``.

        ``ready`` gets a StartupError if the first one fails; then, and after ``drain``, this returns.
        """
        self._hand_over, self._ready = hand_over, ready
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            why = await self._attend(self.child)
            self._on_end(self.pid)
            if not ready.done():
                ready.set_exception(StartupError(why))
                return
            if time.monotonic() - began > STEADY:
                pause = FIRST_PAUSE
            if not await self._start_again(why, pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _start_again(self, why: str, pause: float) -> bool:
        """After a pause; False when meanwhile, or already, all is to end."""
        while not self._draining.is_set():
            _log.error("%s; it is started again in %.1f s", why, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), pause)
                return False
            try:
                self.child = self._spawn()
            except OSError as fault:
                why, pause = f"{self.name} cannot be started: {fault.strerror}", LONGEST_PAUSE
            else:
                return True
        return False

    def reload(self, hand_over: bytes, order: bytes) -> None:
        """Tell the child ``order``; one that is started later gets ``hand_over``."""
        self._hand_over = hand_over
        self.tell(order)

    def tell(self, order: bytes) -> None:
        """One line for the child, if there is one."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(order)

    def drain(self) -> None:
        """Tell the child to finish; it is not started again."""
        self._draining.set()
        self.tell(DRAIN)

    async def _attend(self, child: Child) -> str:
        """See one process through its life; how it ended, in words."""
        reader, writer = await asyncio.open_unix_connection(sock=child.control)
        self._writer = writer
        said: str | None = None
        try:
            writer.write(self._hand_over)
            if self._draining.is_set():
                writer.write(DRAIN)
            said = await asyncio.wait_for(self._until_ready(reader), STARTUP)
            await reader.read()  # it has no more to say: this returns at its end
        except TimeoutError:
            said = f"{self.name} (pid {self.pid}) was not ready within {STARTUP:g} s"
        except OSError:
            pass  # it closed its end, having read less than was sent
        finally:
            self._writer = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        status = await _collect(child)
        if said is not None:
            return said
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{self.name} (pid {self.pid}) {how}"

    async def _until_ready(self, reader: asyncio.StreamReader) -> str | None:
        """Note that it is ready; returns what keeps it from that, where it says so."""
        line = await reader.readline()
        if not line.endswith(b"\n"):
            return None
        said = orjson.loads(line)
        if "failed" in said:
            return str(said["failed"])
        _log.info("%s is ready (pid %d)", self.name, self.pid)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        return None


async def _collect(child: Child) -> int:
    """The exit status of a child that closed its end, if need be after killing it."""
    try:
        return await asyncio.to_thread(child.process.wait, _LAST_BREATH)
    except subprocess.TimeoutExpired:
        child.process.kill()
        return await asyncio.to_thread(child.process.wait)
