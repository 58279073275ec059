"""Active health checks: each worker asks each target for a path now and then. Run by ``gatekeeper.app``.

A target counts as healthy until its checks have said otherwise, so a start waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gatekeeper.errors import GatekeeperError
from gatekeeper.upstream.connection import Connection, Deadlines
from gatekeeper.upstream.dial import Dialer
from gatekeeper.upstream.forward import exchange
from gatekeeper.upstream.messages import OutboundRequest, encode_head
from gatekeeper.upstream.target import Target

logger = logging.getLogger(__name__)

_SOON = 1.0
_AGENT = (b"User-Agent", b"gatekeeper-health")


@dataclass(frozen=True, slots=True)
class CheckRule:
    """GET ``path`` every so many seconds; good is an answer within ``timeout`` with a status in one of ``expect``.

    So many good or bad ones in a row change a target's state. ``host`` is the Host field (not given: the target's).
    """

    path: str
    every: float = 10.0
    timeout: float = 2.0
    expect: tuple[tuple[int, int], ...] = ((200, 399),)
    healthy_after: int = 2
    unhealthy_after: int = 2
    host: str | None = None


class _Nobody:
    """Owns the connection of one check."""

    def connection_ready(self, connection: Connection) -> None: ...
    def connection_closed(self, connection: Connection) -> None: ...
    def connection_gone(self, connection: Connection) -> None: ...


class ActiveChecks:
    """Sets ``down`` of each target of the upstream ``name``."""

    def __init__(
        self,
        name: str,
        rule: CheckRule,
        targets: Sequence[Target],
        dialer: Dialer,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._rule = rule
        self._targets = targets
        self._dialer = dialer
        self._pause = pause
        self._deadlines = Deadlines(rule.timeout, rule.timeout, rule.timeout, rule.timeout)
        self._against = dict.fromkeys(targets, 0)  # outcomes in a row that contradict the target's state

    async def run(self) -> None:
        """For ever, until cancelled."""
        await asyncio.gather(*(self._watch(target) for target in self._targets))

    async def look_at(self, target: Target) -> None:
        """Check a target once and act on it."""
        why = await self._fault_of(target)
        if target.down is (why is not None):
            self._against[target] = 0
            return
        self._against[target] += 1
        needed = self._rule.healthy_after if target.down else self._rule.unhealthy_after
        if self._against[target] < needed:
            return
        self._against[target] = 0
        target.down = why is not None
        told = {"upstream": self._name, "target": target.name}
        if why is not None:
            logger.warning("upstream target is down", extra={**told, "why": why})
        else:
            logger.info("upstream target is up again", extra=told)

    async def _watch(self, target: Target) -> None:
        # Workers and nodes must not ask in step.
        await self._pause(min(_SOON, self._rule.every) * random.random())  # noqa: S311 - spreads load, guards nothing
        while True:
            await self.look_at(target)
            await self._pause(self._rule.every * random.uniform(0.9, 1.1))  # noqa: S311

    async def _fault_of(self, target: Target) -> str | None:
        """What is wrong with a target, in words without its address; None when nothing is."""
        try:
            async with asyncio.timeout(self._rule.timeout):
                status = await self._ask(target)
        except GatekeeperError as fault:
            return str(fault)
        except TimeoutError:
            return f"{self._name}: no answer in time"
        if any(low <= status <= high for low, high in self._rule.expect):
            return None
        return f"{self._name}: answered {status}"

    async def _ask(self, target: Target) -> int:
        host = self._rule.host or target.address.authority
        request = OutboundRequest("GET", self._rule.path, [(b"Host", host.encode("ascii")), _AGENT])
        connection = await self._dialer.dial(target.address, _Nobody(), self._deadlines)
        try:
            answer = await exchange(connection, request, encode_head(request))
            return answer.status
        finally:
            connection.abort()
