"""One pipelined connection to Redis that all callers share. Held by ``breaker``, used through ``redis``.

Commands of one loop tick leave in one write and their replies come back in order: the connection is owned here
and callers only await futures, so a caller that leaves never shifts a reply to the next one (security 27). The
next batch is written before the previous one's replies came. One timer watches the oldest batch; whatever goes
wrong with the byte stream ends the connection and every call on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import deque
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final, Protocol, cast

import hiredis

from gatekeeper.errors import StoreUnavailable

_NOTHING: Final = object()
_MOST_WAITING: Final = 16_384  # commands without a reply; more is overload and refused at once
_A_FEW = 8
_GRACE: Final = 0.01  # seconds; after a stall of the loop itself the answer may lie unread in the socket
_WRITE_BUFFER: Final = 1 << 20
_NESTED: Final = re.compile(r"@user_script: ?\d+: -([A-Z]+) ")  # how Redis 6 wraps an error met inside a script

# The server cannot speak for the data (any more): leave it and look for the one that can.
_NOT_IN_CHARGE: Final = frozenset({"LOADING", "READONLY", "MASTERDOWN"})
# The server is there and will not do it now, or not for us.
_UNABLE: Final = frozenset(
    {"BUSY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH", "NOPERM", "WRONGPASS", "NOPROTO"}
)
# These change the state of the connection, or block it, for everyone else on it.
_STATEFUL: Final = ("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR")
_OF_THE_CONNECTION: Final = ("SELECT", "AUTH", "HELLO", "RESET", "QUIT", "SYNC", "PSYNC", "WAIT", "WAITAOF")
_BLOCKING: Final = ("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP")
NOT_SHARED: Final = frozenset((*_STATEFUL, *_OF_THE_CONNECTION, *_BLOCKING))


class CommandRefused(RuntimeError):
    """Redis calls one command wrong (or a script answered with an error): a mistake in the gate, not an outage.

    ``code`` is the first word of the reply, such as ``WRONGTYPE``.
    """

    def __init__(self, text: str) -> None:
        text = text.partition(", with args beginning with")[0]  # arguments may be secrets
        nested = _NESTED.search(text)
        super().__init__(text)
        self.code = nested[1] if nested else text.partition(" ")[0]


class Script:
    """A Lua script out of ``store/scripts/NAME.lua``, called by its SHA-1."""

    __slots__ = ("name", "sha1", "text")

    def __init__(self, name: str, text: str | None = None) -> None:
        if text is None:
            text = resources.files("gatekeeper.store").joinpath("scripts", f"{name}.lua").read_text("utf-8")
        self.name = name
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


class Executor(Protocol):
    """What runs commands: ``redis.Redis``, or a fresh connection that only the hook may use yet."""

    async def call(self, *command: object) -> Any: ...

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[object]) -> Any: ...


class Pipeline(asyncio.Protocol):
    """The connection. Replies are bytes, int, None and lists of these; an error inside a list stays in it.

    ``timeout`` (seconds) runs from the tick of the call. ``lost`` is set, with one line of why, when the
    connection is over.
    """

    __slots__ = (
        "_batches",
        "_graced",
        "_loop",
        "_paused",
        "_reader",
        "_received",
        "_scheduled",
        "_sent",
        "_since",
        "_timeout",
        "_timer",
        "_transport",
        "_unsent",
        "_waiting",
        "lost",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._reader = hiredis.Reader(replyError=CommandRefused, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()  # in the order of the commands; the unsent are last
        self._unsent: list[bytes] = []
        self._batches: deque[tuple[int, float]] = deque()  # (number of its last command, deadline)
        self._sent = self._received = 0
        self._since = 0.0
        self._graced = -1
        self._scheduled = self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[str] = loop.create_future()

    async def call(self, *command: object) -> Any:
        """One command; raises ``StoreUnavailable`` or ``CommandRefused``."""
        return await self.submit(command)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[object]) -> Any:
        """One script, loaded where the server does not know it."""
        command = ("EVALSHA", script.sha1, len(keys), *keys, *args)
        try:
            return await self.submit(command)
        except CommandRefused as refused:
            if refused.code != "NOSCRIPT":
                raise
        loaded, answer = self.submit(("SCRIPT", "LOAD", script.text)), self.submit(command)
        await asyncio.gather(loaded, answer)
        return answer.result()

    @property
    def crowded(self) -> bool:
        """Whether a few more commands might be too many; what waits has a deadline, so this ends by itself."""
        return len(self._waiting) > _MOST_WAITING - _A_FEW

    def submit(self, command: Sequence[object]) -> asyncio.Future[Any]:
        """Put a command into this tick's batch. The future may be cancelled at any time."""
        if self.lost.done():
            raise StoreUnavailable("redis", self.lost.result())
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreUnavailable("redis", "too many commands are waiting")
        packed: bytes = hiredis.pack_command(cast("Any", command))
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(future)
        self._unsent.append(packed)
        if not self._scheduled:
            self._scheduled = True
            self._since = time.monotonic()
            self._loop.call_soon(self.flush)
        return future

    def close(self, reason: str = "closed") -> None:
        """End the connection and every call on it."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._unsent.clear()
        while self._waiting:
            _fail(self._waiting.popleft(), StoreUnavailable("redis", reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        if self.lost.done():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"connection lost: {exc}" if exc else "connection closed by the server")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def flush(self) -> None:
        """Send what waits; called at the end of the tick in any case."""
        if self._paused or not self._unsent or self._transport is None or self.lost.done():
            return  # resume_writing comes back here
        self._scheduled = False
        self._sent += len(self._unsent)
        self._batches.append((self._sent, self._since + self._timeout))
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._on_timer)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        gets, waiting = self._reader.gets, self._waiting
        expected, received = self._sent, self._received
        try:
            while (reply := gets()) is not _NOTHING:
                if received == expected:
                    self.close("a reply that nobody asked for")
                    return
                received += 1
                future = waiting.popleft()
                if reply.__class__ is CommandRefused:
                    if not self._refuse(future, reply):
                        return
                elif not future.done():  # a caller that left
                    future.set_result(reply)
        except hiredis.HiredisError as error:
            self.close(f"not the Redis protocol: {error}")
            return
        self._received = received
        batches = self._batches
        while batches and batches[0][0] <= received:
            batches.popleft()

    def _refuse(self, future: asyncio.Future[Any], refused: CommandRefused) -> bool:
        """Give an error reply to its caller; False when the connection had to go with it."""
        if refused.code in _NOT_IN_CHARGE:
            _fail(future, StoreUnavailable("redis", str(refused)))
            self.close(str(refused))
            return False
        _fail(future, StoreUnavailable("redis", str(refused)) if refused.code in _UNABLE else refused)
        return True

    def _on_timer(self) -> None:
        self._timer = None
        if not self._batches:
            return
        last, deadline = self._batches[0]
        left = deadline - time.monotonic()
        if left <= 0:
            if self._graced == last:
                self.close(f"no answer within {self._timeout:g} s")
                return
            self._graced, left = last, _GRACE
        self._timer = self._loop.call_later(left, self._on_timer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen: its caller may be cancelled before it looks
