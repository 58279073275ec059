"""The lean side of a client's connection: plain requests without a web framework. Made by ``server.runner``.

Measured, aiohttp's server side is half of what a forwarded request costs. So a connection begins as a ``Lane``, which
takes what is plain beyond doubt (see ``inbound.head``) and is meant for an upstream or for verify. The first request
that is anything else (the gate's own endpoints, uploads, upgrades, all that is malformed or merely unusual) takes the
connection over to ``server.connection``, byte for byte as it came, and there it stays: whatever is to be refused is
refused in one place only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from gatekeeper.inbound import METHODS, NOWHERE, Arrival, Head, Heads, InboundRequest
from gatekeeper.server.bounds import Bounds
from gatekeeper.server.connection import Connection, arrival_of

LARGEST_BODY: Final = 64 << 10  # bytes of a request's body that are waited for here
MOST_PIECES: Final = 16  # reads that a head may come in
READ_AHEAD: Final = 64 << 10  # bytes of further requests that are taken in meanwhile

_METHODS: Final = {method.encode(): method for method in METHODS}
_BLANK_LINE: Final = b"\r\n\r\n"


class Service(Protocol):
    """What serves plain requests: ``surfaces.express``."""

    def read(self, method: str, target: str, head: Head, arrival: Arrival) -> InboundRequest | None:
        """The request, or None where it is to take the other way. Nothing is counted or decided yet."""

    def serve(self, lane: Lane, inbound: InboundRequest, body: bytes | None) -> Coroutine[Any, Any, None]:
        """Answer it by ``lane.write``, then call ``lane.done``."""


@dataclass(slots=True)
class Lanes:
    """What the lanes of a worker share. ``framework`` makes the protocol that takes over."""

    service: Service
    bounds: Bounds
    framework: Callable[[Arrival], Connection]
    heads: Heads = field(init=False)
    open: set[Lane] = field(default_factory=set)
    draining: bool = False
    tick: float = field(init=False)

    def __post_init__(self) -> None:
        self.heads = Heads(max_fields=self.bounds.max_fields)
        self.tick = min(self.bounds.head, self.bounds.body_idle, self.bounds.idle)

    def drain(self) -> None:
        """Close what is idle; what is busy ends with the answer under way."""
        self.draining = True
        for lane in list(self.open):
            lane.drain()

    async def shutdown(self, timeout: float | None) -> None:
        """Wait for what is under way, ``timeout`` seconds at most, and cut off the rest."""
        tasks = [lane.task for lane in self.open if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        for lane in list(self.open):
            lane.abort()


class Lane(asyncio.Protocol):
    """One connection for as long as all its requests are plain; one request at a time."""

    __slots__ = (
        "_arrival",
        "_blocked",
        "_buffer",
        "_lanes",
        "_loop",
        "_paused",
        "_pieces",
        "_since",
        "_timer",
        "_transport",
        "_unsent",
        "_wanted",
        "_writable",
        "keep_alive",
        "task",
    )

    def __init__(self, lanes: Lanes, loop: asyncio.AbstractEventLoop, arrival: Arrival | None = None) -> None:
        self._lanes = lanes
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._arrival = arrival or NOWHERE
        self._buffer = b""
        self._pieces = 0
        self._wanted = 0  # bytes of a request whose head is known
        self._since = 0.0  # when the connection fell idle, or the request began to arrive
        self._paused = False
        self._blocked = False
        self._unsent = 0
        self._writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.keep_alive = True
        self.task: asyncio.Task[None] | None = None

    # the connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._arrival is NOWHERE:
            self._arrival = arrival_of(transport)
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._lanes.tick, self._look)
        self._lanes.open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._leave()
        if self.task is not None:
            self.task.cancel()
        self._wake()

    def drain(self) -> None:
        """Close, after the answer under way where there is one."""
        if self.task is None and not self._buffer and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        self._lanes.open.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # what comes in

    def data_received(self, data: bytes) -> None:
        if self.task is not None:
            self._buffer += data
            if len(self._buffer) > READ_AHEAD and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            return
        if self._buffer:
            data = self._buffer + data
        self._next(data)

    def _next(self, data: bytes) -> None:
        """Begin the request at the start of ``data``, or wait for the rest of it."""
        if len(data) < self._wanted:
            self._wait(data)
            return
        end = data.find(_BLANK_LINE)
        if end < 0:
            if len(data) > self._lanes.bounds.max_head:
                self._hand_over(data)
            else:
                self._wait(data)
            return
        line_end = data.find(b"\r\n")
        words = data[:line_end].split(b" ")
        method = _METHODS.get(words[0])
        if method is None or len(words) != 3 or words[2] != b"HTTP/1.1" or not words[1].isascii():
            self._hand_over(data)
            return
        head = self._lanes.heads.read(data[line_end + 2 : end + 2])
        if head is None or end + 4 > self._lanes.bounds.max_head or head.length > LARGEST_BODY:
            self._hand_over(data)
            return
        size = end + 4 + head.length
        if len(data) < size:
            self._wanted = size
            self._wait(data)
            return
        inbound = self._lanes.service.read(method, words[1].decode("ascii"), head, self._arrival)
        if inbound is None or head.length > self._lanes.bounds.max_body:
            self._hand_over(data)
            return
        self._buffer = data[size:]
        self._pieces = self._wanted = 0
        self.keep_alive = head.keep_alive
        body = data[end + 4 : size] if head.length else None
        self.task = self._loop.create_task(self._lanes.service.serve(self, inbound, body))

    def _wait(self, data: bytes) -> None:
        if not self._buffer:
            self._since = self._loop.time()
        self._buffer = data
        self._pieces += not self._wanted
        if self._pieces > MOST_PIECES:
            self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is the framework's."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._leave()
        self._buffer = b""
        taker = self._lanes.framework(self._arrival)
        transport.set_protocol(taker)
        taker.connection_made(transport)
        if self._paused:
            transport.resume_reading()
        if self._blocked:
            taker.pause_writing()
        taker.data_received(data)
        if self._lanes.draining:
            taker.close()

    # what goes out

    @property
    def transport(self) -> asyncio.Transport | None:
        """The socket; None once it is gone."""
        return self._transport

    def write(self, data: bytes) -> None:
        """Send a part of the answer; nothing once the client has left."""
        if self._transport is not None:
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait while the client is slow to read; raises ConnectionResetError when it never will."""
        if self._blocked and self._transport is not None:
            self._writable = self._loop.create_future()
            try:
                await self._writable  # bounded by _look
            finally:
                self._writable = None
        if self._transport is None:
            raise ConnectionResetError("the client has left")

    def done(self) -> None:
        """The answer is written: on to the next request, or the end."""
        self.task = None
        transport = self._transport
        if transport is None:
            return
        if not self.keep_alive or (self._lanes.draining and not self._buffer):
            transport.close()
            return
        self._since = self._loop.time()
        if not self._blocked:
            self._go_on()

    def _go_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._next(data)

    def pause_writing(self) -> None:
        self._blocked = True
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
            self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._blocked = False
        self._wake()
        if self.task is None:
            self._go_on()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # time

    def _look(self) -> None:
        """Give up on a head that does not end, on a client that takes nothing, and on a connection without use."""
        transport, bounds, now = self._transport, self._lanes.bounds, self._loop.time()
        if transport is None:
            return
        due = now + self._lanes.tick
        waited = now - self._since
        if self._blocked:
            unsent, self._unsent = self._unsent, transport.get_write_buffer_size()
            if self._unsent < unsent:
                self._since = now
            elif waited >= bounds.body_idle:
                transport.abort()
                return
        elif self.task is None:
            patience = bounds.body_idle if self._wanted else bounds.head if self._buffer else bounds.idle
            if waited >= patience:
                self._give_up(transport)
                return
            due = min(due, self._since + patience)
        self._timer = self._loop.call_at(due, self._look)

    def _give_up(self, transport: asyncio.Transport) -> None:
        if self._wanted:
            self._hand_over(self._buffer)  # which knows how to say that a body is late
        else:
            transport.close()
