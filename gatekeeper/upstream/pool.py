"""Kept-alive connections to the targets of one upstream. Built by ``gatekeeper.app``, used by the surfaces.

A slot is the right to have one connection to a target; it belongs to a dial, a connection at work, an idle one, or
passes straight to whoever waits longest. So a cancelled caller can neither lose a slot nor take two.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.connection import Connection, Deadlines, StaleConnection
from gatekeeper.upstream.forward import exchange
from gatekeeper.upstream.messages import OutboundRequest, TargetAddress, encode_head
from gatekeeper.upstream.response import UpstreamResponse

logger = logging.getLogger(__name__)

ASIDE_FIRST = 1.0
ASIDE_LONGEST = 10.0
"""Seconds for which a target that could not be reached is passed over, doubling from the first to the longest."""
_CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections (``open`` counts dials, idle and busy ones) and callers that wait for one."""

    open: int
    idle: int
    waiting: int


class _Target:
    """One server, its idle connections (the last used on top) and how it has fared."""

    __slots__ = ("address", "aside_until", "failures", "idle", "open")

    def __init__(self, address: TargetAddress) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self.open = 0
        self.failures = 0
        self.aside_until = 0.0

    def failed(self, now: float) -> float:
        """Pass it over for a while; returns for how many seconds."""
        self.failures += 1
        seconds = min(ASIDE_LONGEST, ASIDE_FIRST * 2.0 ** min(self.failures - 1, 10))
        self.aside_until = now + seconds
        return seconds

    def reached(self) -> None:
        """It answers again."""
        self.failures = 0
        self.aside_until = 0.0


_Place = tuple[_Target, Connection | None]
"""An idle connection, or (None) a slot for a new one."""


class UpstreamPool:
    """``send`` requests to ``targets`` in turn.

    Times are seconds; ``max_connections`` counts for each target; at most ``max_waiting`` callers wait for a
    connection, for ``connect_timeout`` at most. ``ssl_context`` is for https targets; the default verifies
    against the system's authorities. ``between_bytes_timeout`` None lets bodies pause. Build and use it inside
    one event loop.
    """

    def __init__(
        self,
        name: str,
        targets: Iterable[TargetAddress],
        *,
        connect_timeout: float = 5.0,
        first_byte_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        between_bytes_timeout: float | None = 30.0,
        max_connections: int = 256,
        max_waiting: int = 1024,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._targets: Sequence[_Target] = [_Target(address) for address in targets]
        if not self._targets:
            raise ValueError("an upstream has at least one target")
        self._deadlines = Deadlines(connect_timeout, first_byte_timeout, idle_timeout, between_bytes_timeout)
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        if ssl_context is None and any(target.address.tls for target in self._targets):
            ssl_context = ssl.create_default_context()
            ssl_context.set_alpn_protocols(["http/1.1"])
        self._ssl_context = ssl_context
        self._loop = asyncio.get_running_loop()
        self._turn = 0
        self._waiting: deque[asyncio.Future[_Place]] = deque()
        self._target_of: dict[Connection, _Target] = {}
        self._sockets: set[Connection] = set()
        self._all_gone: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        """Counts at this moment."""
        return PoolStats(
            sum(target.open for target in self._targets),
            sum(len(target.idle) for target in self._targets),
            len(self._waiting),
        )

    async def send(self, request: OutboundRequest) -> UpstreamResponse:
        """Forward ``request``; returns once the answer's head is there.

        Raises UpstreamUnavailable (unreachable, closed or no HTTP before an answer, too many waiting),
        UpstreamTimeout, ValueError for a request that must not go on a wire, and what the body's iterator
        raises. A failed dial moves on to the next target; a request is sent twice only when it is GET, HEAD or
        OPTIONS without a body and a kept-alive connection ended before the first byte of an answer. One that asks
        for another protocol gets a connection of its own, which leaves the pool when the upstream switches.
        """
        head = encode_head(request)
        fresh = bool(request.upgrade)
        place = self._place(fresh=fresh)
        connection = place[1] if place is not None else None
        if connection is None:
            connection = await self._lease(place, fresh=fresh)
        try:
            return await exchange(connection, request, head)
        except StaleConnection:
            if not request.may_be_repeated:
                raise
        connection = await self._lease(self._place(fresh=True), fresh=True)
        return await exchange(connection, request, head)

    async def close(self) -> None:
        """Close every connection and refuse all further requests; those under way fail."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(UpstreamUnavailable(f"{self.name}: shutting down"))
        for connection in list(self._sockets):
            connection.abort()
        if self._sockets:
            self._all_gone = self._loop.create_future()
            await asyncio.wait({self._all_gone}, timeout=_CLOSE_TIMEOUT)

    # ConnectionOwner

    def connection_ready(self, connection: Connection) -> None:
        """A connection finished its exchange: on to whoever waits longest, or idle."""
        target = self._target_of[connection]
        if not self._pass_on((target, connection)):
            target.idle.append(connection)

    def connection_closed(self, connection: Connection) -> None:
        """A connection is of no more use: its slot is free."""
        target = self._target_of.pop(connection)
        if connection in target.idle:
            target.idle.remove(connection)
        self._free_slot(target)

    def connection_gone(self, connection: Connection) -> None:
        """A connection's socket is closed."""
        self._sockets.discard(connection)
        if self._all_gone is not None and not self._sockets and not self._all_gone.done():
            self._all_gone.set_result(None)

    # Slots

    def _free_slot(self, target: _Target) -> None:
        if not self._pass_on((target, None)):
            target.open -= 1

    def _pass_on(self, place: _Place) -> bool:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(place)
                return True
        return False

    def _occupy(self, target: _Target, *, fresh: bool) -> _Place | None:
        """The target's last used idle connection, or a slot for a new one; None when it is full."""
        while target.idle and not fresh:
            connection = target.idle.pop()
            if connection.usable:
                return target, connection
            connection.abort()
        if target.open >= self._max_connections and target.idle:
            target.idle[0].abort()
        if target.open < self._max_connections:
            target.open += 1
            return target, None
        return None

    def _choose(self, failed: Sequence[_Target], *, fresh: bool) -> _Place | None:
        """The next target in turn that has room; those put aside only when there is no other."""
        targets, count, now = self._targets, len(self._targets), self._loop.time()
        for aside_too in (False, True):
            any_candidate = False
            for step in range(count):
                target = targets[(self._turn + step) % count]
                if target in failed or (target.aside_until > now and not aside_too):
                    continue
                any_candidate = True
                place = self._occupy(target, fresh=fresh)
                if place is not None:
                    self._turn = (self._turn + step + 1) % count
                    return place
            if any_candidate:
                return None
        return None

    def _place(self, *, fresh: bool = False) -> _Place | None:
        """Room for one exchange, at once or not at all."""
        if self._closed:
            raise UpstreamUnavailable(f"{self.name}: shutting down")
        return self._choose((), fresh=fresh)

    async def _lease(self, place: _Place | None, *, fresh: bool = False) -> Connection:
        """A connection for one exchange, dialled or waited for; a ``fresh`` one unless it had to be waited for."""
        failed: list[_Target] = []
        # Several dead targets must not add up: two dials' time is all there is.
        give_up = self._loop.time() + 2 * self._deadlines.connect
        while True:
            target, connection = place or await self._wait_turn()
            if connection is None:
                try:
                    return await self._dial(target)
                except (UpstreamUnavailable, UpstreamTimeout):
                    failed.append(target)
                    if self._closed or len(failed) >= len(self._targets) or self._loop.time() >= give_up:
                        raise
            elif connection.usable:
                return connection
            place = self._choose(failed, fresh=fresh)

    async def _wait_turn(self) -> _Place:
        if len(self._waiting) >= self._max_waiting:
            raise UpstreamUnavailable(f"{self.name}: too many requests wait for a connection")
        waiting: asyncio.Future[_Place] = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._deadlines.connect):
                return await waiting
        except BaseException as error:
            self._leave_queue(waiting)
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(f"{self.name}: no connection became free in time") from None
            raise

    def _leave_queue(self, waiting: asyncio.Future[_Place]) -> None:
        if not waiting.done() or waiting.cancelled():
            if waiting in self._waiting:
                self._waiting.remove(waiting)
        elif waiting.exception() is None:
            # Given a place in the very tick in which the caller left.
            target, connection = waiting.result()
            if connection is None:
                self._free_slot(target)
            elif connection.usable:
                self.connection_ready(connection)

    # Dialling

    async def _dial(self, target: _Target) -> Connection:
        """A new connection in a slot already taken."""
        connection = Connection(self, self.name, self._deadlines)
        try:
            async with asyncio.timeout(self._deadlines.connect):
                await self._open_socket(target.address, connection)
        except TimeoutError:
            raise self._dial_failed(target, UpstreamTimeout(f"{self.name}: no connection in time")) from None
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise self._dial_failed(target, UpstreamUnavailable(f"{self.name}: cannot connect: {why}")) from None
        except BaseException:
            connection.abort()
            self._free_slot(target)
            raise
        if self._closed or not connection.adopt():
            connection.abort()
            raise self._dial_failed(target, UpstreamUnavailable(f"{self.name}: closed right after connecting"))
        target.reached()
        self._target_of[connection] = target
        self._sockets.add(connection)
        return connection

    def _dial_failed(
        self, target: _Target, fault: UpstreamUnavailable | UpstreamTimeout
    ) -> UpstreamUnavailable | UpstreamTimeout:
        seconds = target.failed(self._loop.time())
        logger.warning(
            "upstream target put aside", extra={"target": str(target.address), "seconds": seconds, "why": str(fault)}
        )
        self._free_slot(target)
        return fault

    async def _open_socket(self, address: TargetAddress, connection: Connection) -> None:
        """Resolve and connect; names are looked up off the loop's thread, anew for each connection."""
        if address.path is not None:
            await self._loop.create_unix_connection(lambda: connection, address.path)
        elif address.tls:
            await self._loop.create_connection(
                lambda: connection,
                address.host,
                address.port,
                ssl=self._ssl_context,
                server_hostname=address.host,
                ssl_handshake_timeout=self._deadlines.connect,
            )
        else:
            await self._loop.create_connection(lambda: connection, address.host, address.port)
