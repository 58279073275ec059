"""One HTTP/1.1 connection to an upstream. Opened by ``upstream.pool``, driven by ``upstream.forward``.

All deadlines of a connection share one lazy timer, so that a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, cast

from gatekeeper.errors import GatekeeperError, UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.answer import AnswerReader, BadAnswer
from gatekeeper.upstream.response import UpstreamResponse
from gatekeeper.upstream.tunnel import Parked, Switched, probe_peer

READ_AHEAD = 256 << 10
"""Bytes of a body that may wait for a slow reader before reading from the upstream pauses."""
WRITE_AHEAD = 128 << 10
"""Bytes of a request that may wait for a slow upstream before sending pauses."""

_LAST_LOOK = 0.01


class StaleConnection(UpstreamUnavailable):
    """A kept-alive connection ended before the first byte of an answer: the request may not have been seen."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. ``between_bytes`` None lets bodies pause as long as they like.

    ``total`` bounds an exchange from its first byte to its last, where given. After ``max_age`` a connection carries
    no further request.
    """

    connect: float = 5.0
    first_byte: float = 30.0
    idle: float = 60.0
    between_bytes: float | None = 30.0
    total: float | None = None
    max_age: float = math.inf

    @property
    def body(self) -> float:
        """How long a body may pause."""
        return math.inf if self.between_bytes is None else self.between_bytes

    @property
    def stall(self) -> float:
        """How long the upstream may take no byte of a request."""
        return self.first_byte if self.between_bytes is None else self.between_bytes

    @property
    def shortest(self) -> float:
        """The closest that a connection's deadline is ever set."""
        return min(self.first_byte, self.idle, self.body, math.inf if self.total is None else self.total)


class ConnectionOwner(Protocol):
    """The pool, told once of each turn in a connection's life."""

    def connection_ready(self, connection: Connection) -> None:
        """It can carry another request."""

    def connection_closed(self, connection: Connection) -> None:
        """It will carry none any more."""

    def connection_gone(self, connection: Connection) -> None:
        """Its socket is closed."""


class _Phase(Enum):
    OPENING = "opening"
    IDLE = "idle"
    BUSY = "busy"
    CLOSED = "closed"


_OPENING, _IDLE, _BUSY, _CLOSED = _Phase


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; ``name`` is the upstream's, for messages."""

    def __init__(self, owner: ConnectionOwner, name: str, deadlines: Deadlines) -> None:
        self._owner = owner
        self._name = name
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._phase = _OPENING
        self._adopted = False
        self._served = 0
        # The exchange under way; its waiter stands for it, also once the answer's head was delivered.
        self._waiter: asyncio.Future[UpstreamResponse] | None = None
        self._answer: AnswerReader | None = None
        self._delivered = False
        self._sending = False
        self._first_byte = deadlines.first_byte
        self.patience: float | None = None  # what `allow` was told last
        self._between = self._body_deadline = deadlines.body
        # Back-pressure
        self._reading_paused = False
        self._write_blocked = False
        self._writable: asyncio.Future[None] | None = None
        self._unsent = 0
        # No deadline is ever set closer than `_tick` ahead, so a timer that is never further off is never late.
        self._tick = deadlines.shortest
        self._deadline = math.inf
        self._give_up = math.inf  # the end of the exchange as a whole
        self._retires = math.inf
        self._overdue = False
        self._timer: asyncio.TimerHandle | None = None

    # Opening and closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_AHEAD)

    def adopt(self) -> bool:
        """The dial succeeded. False when the connection ended, or the peer spoke, before it was asked."""
        if self._phase is not _OPENING or self._transport is None or self._transport.is_closing():
            self.abort()
            return False
        self._adopted = True
        self._phase = _IDLE
        self._timer = self._loop.call_later(self._tick, self._on_timer)
        # Connections of the same age must not all be dialled anew at once.
        self._retires = self._loop.time() + self._deadlines.max_age * random.uniform(0.8, 1.0)  # noqa: S311
        return True

    @property
    def usable(self) -> bool:
        """Whether a request can be sent on it now."""
        return self._phase is _IDLE and self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self._close(UpstreamUnavailable(f"{self._name}: connection closed"))

    def _close(self, error: GatekeeperError) -> None:
        if self._phase is _CLOSED:
            return
        self._phase = _CLOSED
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiter, answer = self._waiter, self._answer
        self._waiter = self._answer = None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        elif answer is not None and answer.response is not None:
            answer.response.fail(error)
        self._wake_writer()
        if self._adopted:
            self._owner.connection_closed(self)

    # One exchange

    def allow(self, patience: float | None) -> None:
        """From now on the head of an answer may take ``patience`` seconds; None: what all connections are given."""
        self.patience = patience
        self._first_byte = self._deadlines.first_byte if patience is None else patience
        if self._first_byte < self._tick and self._timer is not None:
            self._tick = self._first_byte
            self._timer.cancel()
            self._timer = self._loop.call_later(self._tick, self._on_timer)

    def begin(
        self, data: bytes, *, asked_head: bool, sending: bool, offered: frozenset[bytes] = frozenset()
    ) -> asyncio.Future[UpstreamResponse]:
        """Send a request's head, with its body unless that is still ``sending``; the future gets the answer.

        ``offered`` are the protocols, in lower case, to which the upstream may switch.
        """
        transport = self._transport
        if transport is None or self._phase is not _IDLE:
            raise RuntimeError("a connection carries one request at a time")
        self._phase = _BUSY
        self._answer = AnswerReader(asked_head=asked_head, offered=offered)
        self._delivered = False
        self._sending = sending
        self._body_deadline = self._between
        self._deadline = math.inf if sending else self._loop.time() + self._first_byte
        if self._deadlines.total is not None:
            self._give_up = self._loop.time() + self._deadlines.total
        self._waiter = waiter = self._loop.create_future()
        transport.write(data)
        return waiter

    def write(self, *parts: bytes) -> None:
        """More of the request's body; nothing once the connection is closed."""
        if self._transport is not None and self._phase is _BUSY:
            self._transport.writelines(parts)

    async def drained(self) -> None:
        """Wait until the upstream takes more; raises UpstreamUnavailable when it never will."""
        if self._write_blocked and self._phase is _BUSY:
            # Bounded by the stall deadline, which closes the connection.
            self._writable = self._loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None
        if self._phase is not _BUSY:
            raise UpstreamUnavailable(f"{self._name}: closed while the request was being sent")

    def request_sent(self) -> None:
        """All of the body was written: the time for the answer runs from here."""
        self._sending = False
        if not self._delivered and not self._write_blocked:
            self._deadline = self._loop.time() + self._first_byte

    def fail_request(self, waiter: asyncio.Future[UpstreamResponse], error: BaseException) -> None:
        """The request cannot be sent to its end: the caller gets ``error``, unless there is an answer already."""
        if self._waiter is waiter and not self._delivered:
            if not waiter.done():
                waiter.set_exception(error)
            self.abort()

    def abandon(self, waiter: asyncio.Future[UpstreamResponse]) -> None:
        """The caller of this exchange left: unless it is over, the connection cannot be used again."""
        if self._waiter is waiter:
            self.abort()
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            waiter.result().release()  # it switched in the very tick in which the caller left

    # For the response whose body is arriving

    def body_taken(self) -> None:
        if self._reading_paused and self._transport is not None and self._phase is _BUSY:
            self._reading_paused = False
            self._deadline = self._loop.time() + self._body_deadline
            self._transport.resume_reading()

    def body_refused(self, response: UpstreamResponse) -> None:
        if self._answer is not None and self._answer.response is response:
            self.abort()

    def body_may_pause(self, *, endless: bool) -> None:
        self._body_deadline = math.inf
        if endless:
            self._give_up = math.inf
        self._deadline = math.inf
        if self._transport is not None:
            probe_peer(self._transport)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            # Nobody asked: whatever it is, it must not become somebody's answer.
            self.abort()
            return
        try:
            answer.feed(data)
        except BadAnswer as error:
            self._close(UpstreamUnavailable(f"{self._name}: {error}"))
            return
        if answer.response is not None:
            self._progress(answer, answer.response)

    def eof_received(self) -> None:
        answer = self._answer
        if answer is not None and answer.response is not None and answer.end_of_stream():
            self._progress(answer, answer.response)
        else:
            self._lost("closed")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost("closed" if exc is None else "connection lost")
        if self._adopted:
            self._owner.connection_gone(self)

    def pause_writing(self) -> None:
        self._write_blocked = True
        if self._transport is not None and not self._delivered:
            self._unsent = self._transport.get_write_buffer_size()
            self._deadline = self._loop.time() + self._deadlines.stall

    def resume_writing(self) -> None:
        self._write_blocked = False
        if not self._delivered and self._phase is _BUSY:
            self._deadline = math.inf if self._sending else self._loop.time() + self._first_byte
        self._wake_writer()

    # Within

    def _progress(self, answer: AnswerReader, response: UpstreamResponse) -> None:
        """The head is there: deliver it, and go on with the body or finish."""
        waiter = self._waiter
        if waiter is None:
            return
        if not self._delivered and waiter.done():
            self.abort()  # the caller left in this very tick
            return
        if answer.switched is not None:
            self._part_with(answer.switched, answer.early, response, waiter)
            return
        if answer.done:
            response.end()
            self._exchange_over(answer)
        else:
            self._deadline = self._loop.time() + self._body_deadline
            if not self._delivered:
                response.attach(self)
            if response.buffered > READ_AHEAD and self._transport is not None and not self._reading_paused:
                self._reading_paused = True
                self._deadline = math.inf
                self._transport.pause_reading()
        if not self._delivered:
            self._delivered = True
            waiter.set_result(response)

    def _part_with(
        self, protocol: bytes, early: bytes, response: UpstreamResponse, waiter: asyncio.Future[UpstreamResponse]
    ) -> None:
        """After a 101 the socket is the caller's and this connection is over; its slot is free."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._phase = _CLOSED
        self._waiter = self._answer = None
        if self._timer is not None:
            self._timer.cancel()
        response.switched = Switched(protocol, Parked(transport, early, blocked=self._write_blocked))
        self._owner.connection_closed(self)
        self._owner.connection_gone(self)
        waiter.set_result(response)

    def _exchange_over(self, answer: AnswerReader) -> None:
        self._waiter = self._answer = None
        now = self._loop.time()
        if self._sending or self._write_blocked or not answer.keep_alive or now >= self._retires:
            self.abort()
            return
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        self._phase = _IDLE
        self._served += 1
        self._give_up = math.inf
        self._deadline = min(now + self._deadlines.idle, self._retires)
        self._owner.connection_ready(self)

    def _lost(self, how: str) -> None:
        answer = self._answer
        if answer is not None and answer.response is not None:
            self._close(UpstreamUnavailable(f"{self._name}: {how} in the middle of an answer"))
        elif self._served and answer is not None and not answer.started:
            self._close(StaleConnection(f"{self._name}: {how} before an answer"))
        else:
            self._close(UpstreamUnavailable(f"{self._name}: {how} before an answer"))

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _on_timer(self) -> None:
        now = self._loop.time()
        if self._overdue and now >= min(self._deadline, self._give_up) and not self._still_sending(now):
            self._expire(now)
            return
        # When the loop itself stood still, an answer may have arrived meanwhile: the sockets are looked at first.
        due = min(self._deadline, self._give_up)
        self._overdue = now >= due
        wake = now + _LAST_LOOK if self._overdue else min(due, now + self._tick)
        self._timer = self._loop.call_at(wake, self._on_timer)

    def _still_sending(self, now: float) -> bool:
        """A blocked request whose buffer has shrunk since the last look gets more time."""
        if self._delivered or not self._write_blocked or self._transport is None or now >= self._give_up:
            return False
        unsent, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        if self._unsent >= unsent:
            return False
        self._deadline = now + self._deadlines.stall
        return True

    def _expire(self, now: float) -> None:
        if self._phase is _IDLE:
            self.abort()
        elif now >= self._give_up:
            self._close(UpstreamTimeout(f"{self._name}: not done within the time for a whole exchange"))
        elif self._delivered:
            self._close(UpstreamTimeout(f"{self._name}: the answer stopped in the middle"))
        elif self._write_blocked:
            self._close(UpstreamTimeout(f"{self._name}: stopped reading the request"))
        else:
            self._close(UpstreamTimeout(f"{self._name}: no answer in time"))
