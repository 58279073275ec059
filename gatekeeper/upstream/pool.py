"""Kept-alive connections to the targets of one upstream. Built by ``gatekeeper.app``, used by the surfaces.

A slot is the right to have one connection to a target; it belongs to a dial, a connection at work, an idle one, or
passes straight to whoever waits longest. So a cancelled caller can neither lose a slot nor take two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.balance import Balance, RoundRobin
from gatekeeper.upstream.circuit import Circuit, CircuitOpen
from gatekeeper.upstream.connection import Connection, StaleConnection
from gatekeeper.upstream.dial import Dialer
from gatekeeper.upstream.forward import exchange
from gatekeeper.upstream.health import ActiveChecks
from gatekeeper.upstream.messages import OutboundRequest, TargetAddress, encode_head
from gatekeeper.upstream.queue import Queue
from gatekeeper.upstream.response import UpstreamResponse
from gatekeeper.upstream.settings import PoolSettings
from gatekeeper.upstream.sticky import Route, Sticky
from gatekeeper.upstream.target import Target
from gatekeeper.upstream.tls import client_context

logger = logging.getLogger(__name__)

_CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections (``open`` counts dials, idle and busy ones) and callers that wait for one."""

    open: int
    idle: int
    waiting: int


_Place = tuple[Target, Connection | None]
"""An idle connection, or (None) a slot for a new one."""


class UpstreamPool:
    """``send`` requests to ``targets`` as ``balance`` says (default: in turn); ``sticky`` makes routes for it.

    ``now`` is the clock of ejection and circuit, the loop's unless given. Build and use it inside one event loop.
    """

    def __init__(
        self,
        name: str,
        targets: Iterable[TargetAddress],
        settings: PoolSettings | None = None,
        *,
        balance: Balance | None = None,
        sticky: Sticky | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.name = name
        self.sticky = sticky
        self._settings = settings = settings or PoolSettings()
        addresses = list(targets)
        if not addresses:
            raise ValueError("an upstream has at least one target")
        weights = settings.weights or (1,) * len(addresses)
        self._targets: Sequence[Target] = [
            Target(address, weight, settings.ejection) for address, weight in zip(addresses, weights, strict=True)
        ]
        self._balance = balance or RoundRobin()
        self._circuit = Circuit(settings.circuit)
        self._deadlines = settings.deadlines
        context = settings.ssl_context
        if context is None and any(address.tls for address in addresses):
            context = client_context()
        self._dialer = Dialer(name, ssl_context=context, server_name=settings.server_name)
        self.checks: ActiveChecks | None = None
        if settings.checks is not None:
            self.checks = ActiveChecks(name, settings.checks, self._targets, self._dialer)
        self._loop = asyncio.get_running_loop()
        self._now = now or self._loop.time
        self._queue: Queue[_Place] = Queue()
        self._target_of: dict[Connection, Target] = {}
        self._sockets: set[Connection] = set()
        self._all_gone: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        """Counts at this moment."""
        return PoolStats(
            sum(target.open for target in self._targets),
            sum(len(target.idle) for target in self._targets),
            len(self._queue),
        )

    def standings(self) -> list[tuple[str, bool]]:
        """Each target's address and whether it gets requests.

        While the circuit is open those that failed do not; once a probe is due they do, or without traffic, as when
        readiness keeps it away, nobody would ever find out that they are back.
        """
        now = self._now()
        shut = self._circuit.shut(now)
        return [(target.name, target.up(now) and not (shut and target.record.troubled)) for target in self._targets]

    async def send(self, request: OutboundRequest, route: Route | None = None) -> UpstreamResponse:
        """Forward ``request``, where there is a choice along ``route``; returns once the answer's head is there.

        Raises UpstreamUnavailable (unreachable, closed or no HTTP before an answer, too many waiting; CircuitOpen
        without having asked), UpstreamTimeout, ValueError for a request that must not go on a wire, and what the
        body's iterator raises. A failed dial moves on to another target; a request is sent twice only when it is
        GET, HEAD or OPTIONS without a body and a kept connection ended before the first byte of an answer. One that
        asks for another protocol gets a connection of its own, which leaves the pool when the upstream switches.
        """
        head = encode_head(request)
        if self._circuit.is_open:
            self._ask_circuit()
        try:
            return await self._attempt(request, head, route, fresh=bool(request.upgrade))
        except StaleConnection:
            if not request.may_be_repeated or not self._settings.retries:
                raise
        return await self._attempt(request, head, route, fresh=True)

    async def close(self) -> None:
        """Close every connection and refuse all further requests; those under way fail."""
        self._closed = True
        self._queue.refuse_all(self._shutting_down)
        for connection in list(self._sockets):
            connection.abort()
        if self._sockets:
            self._all_gone = self._loop.create_future()
            await asyncio.wait({self._all_gone}, timeout=_CLOSE_TIMEOUT)

    # ConnectionOwner

    def connection_ready(self, connection: Connection) -> None:
        """A connection finished its exchange: on to whoever waits longest, or idle."""
        target = self._target_of[connection]
        if not self._queue or not self._queue.pass_on(target, (target, connection)):
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

    # One attempt, and what is learned from it

    async def _attempt(
        self, request: OutboundRequest, head: bytes, route: Route | None, *, fresh: bool
    ) -> UpstreamResponse:
        began = self._now()
        place = self._place(began, route, fresh=fresh)
        if place is not None and place[1] is not None:
            target, connection = place[0], place[1]
        else:
            target, connection = await self._lease(place, route, fresh=fresh)
        if route is not None:
            route.served_by(target)
        try:
            response = await exchange(connection, request, head)
        except StaleConnection:
            raise
        except (UpstreamUnavailable, UpstreamTimeout) as fault:
            self._failed(target, began, str(fault))
            raise
        if response.status in self._settings.failing:
            self._failed(target, began, f"{self.name}: answered {response.status}")
        elif self._circuit.is_open or target.record.troubled:
            self._recovered(target, began)
        else:
            self._circuit.answers += 1
        return response

    def _ask_circuit(self) -> None:
        """The circuit is open: raises CircuitOpen unless a probe is due."""
        wait = self._circuit.wait(self._now())
        if wait > 0:
            raise CircuitOpen(f"{self.name}: has failed too often; it is asked again shortly", wait)

    def _recovered(self, target: Target, began: float) -> None:
        now = self._now()
        if self._circuit.answered(began, now):
            logger.info("upstream answers again", extra={"upstream": self.name})
        if target.record.answered(began, now):
            logger.info("upstream target is back", extra={"upstream": self.name, "target": target.name})

    def _failed(self, target: Target, began: float, why: str) -> None:
        if self._closed:
            return
        now = self._now()
        told = {"upstream": self.name, "target": target.name, "why": why}
        if not target.record.troubled:
            logger.warning("upstream target fails", extra=told)
        opened = self._circuit.failed(began, now)
        if target.record.failed(began, now):
            if not any(other.up(now) for other in self._targets if other is not target):
                opened = self._circuit.trip(now) or opened  # never the last one: then it is the upstream that is away
            elif target.up(now):
                logger.warning("upstream target put aside", extra={**told, "seconds": target.record.eject(now)})
        if opened:
            logger.warning("upstream fails; only probes are let through", extra=told)

    # Slots

    def _free_slot(self, target: Target) -> None:
        if not self._queue or not self._queue.pass_on(target, (target, None)):
            target.open -= 1

    def _occupy(self, target: Target, *, fresh: bool) -> _Place | None:
        """The target's last used idle connection, or a slot for a new one; None when it is full."""
        while target.idle and not fresh:
            connection = target.idle.pop()
            if connection.usable:
                return target, connection
            connection.abort()
        if target.open >= self._settings.max_connections and target.idle:
            target.idle[0].abort()
        if target.open < self._settings.max_connections:
            target.open += 1
            return target, None
        return None

    def _candidates(self, now: float, failed: Sequence[Target] = ()) -> list[Target]:
        """The targets that are up; where all are put aside, those: somebody has to find out."""
        up = [target for target in self._targets if not target.down and target.record.aside_until <= now]
        candidates = up or [target for target in self._targets if not target.down]
        return [target for target in candidates if target not in failed] if failed else candidates

    def _choose(self, candidates: list[Target], route: Route | None, *, fresh: bool) -> _Place | None:
        """Room at the target that the route prefers, else at the one whose turn it is; None where it must be waited
        for.
        """
        if len(candidates) == 1:
            return self._occupy(candidates[0], fresh=fresh)
        preferred = None if route is None else route.prefer(candidates)
        if preferred is not None:
            return self._occupy(preferred, fresh=fresh)
        full = self._settings.max_connections
        room = [target for target in candidates if target.idle or target.open < full]
        return self._occupy(self._balance.choose(room), fresh=fresh) if room else None

    def _place(self, now: float, route: Route | None, *, fresh: bool) -> _Place | None:
        """Room for one exchange, at once or not at all."""
        if self._closed:
            raise self._shutting_down()
        candidates = self._candidates(now)
        if not candidates:
            wait = self._settings.checks.every if self._settings.checks is not None else 1.0
            raise CircuitOpen(f"{self.name}: no target passes its health checks", wait)
        return self._choose(candidates, route, fresh=fresh)

    async def _lease(self, place: _Place | None, route: Route | None, *, fresh: bool) -> tuple[Target, Connection]:
        """A connection for one exchange, dialled or waited for; a ``fresh`` one unless it had to be waited for."""
        failed: list[Target] = []
        # Several dead targets must not add up: two dials' time is all there is.
        give_up = self._loop.time() + 2 * self._deadlines.connect
        while True:
            target, connection = place or await self._wait_turn(route, failed)
            if connection is None:
                try:
                    return target, await self._dial(target)
                except (UpstreamUnavailable, UpstreamTimeout):
                    failed.append(target)
                    may_go_on = len(failed) <= self._settings.retries and self._loop.time() < give_up
                    if self._closed or not may_go_on or not self._candidates(self._now(), failed):
                        raise
            elif connection.usable:
                return target, connection
            place = self._choose(self._candidates(self._now(), failed), route, fresh=fresh)

    async def _wait_turn(self, route: Route | None, failed: Sequence[Target]) -> _Place:
        if len(self._queue) >= self._settings.max_waiting:
            raise UpstreamUnavailable(f"{self.name}: too many requests wait for a connection")
        preferred = None if route is None else route.prefer(self._candidates(self._now(), failed))
        ticket = self._queue.join(preferred)
        try:
            async with asyncio.timeout(self._deadlines.connect):
                return await ticket.turn
        except BaseException as error:
            self._queue.leave(ticket)
            self._give_back(ticket.turn)
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(f"{self.name}: no connection became free in time") from None
            raise

    def _give_back(self, turn: asyncio.Future[_Place]) -> None:
        """Whoever was given a place in the very tick in which they left does not keep it."""
        if not turn.done() or turn.cancelled() or turn.exception() is not None:
            return
        target, connection = turn.result()
        if connection is None:
            self._free_slot(target)
        elif connection.usable:
            self.connection_ready(connection)

    async def _dial(self, target: Target) -> Connection:
        """A new connection in a slot already taken."""
        began = self._now()
        try:
            connection = await self._dialer.dial(target.address, self, self._deadlines)
        except (UpstreamUnavailable, UpstreamTimeout) as fault:
            self._free_slot(target)
            self._failed(target, began, str(fault))
            raise
        except BaseException:
            self._free_slot(target)
            raise
        self._target_of[connection] = target
        self._sockets.add(connection)
        if self._closed:
            connection.abort()
            raise self._shutting_down()
        return connection

    def _shutting_down(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{self.name}: shutting down")
