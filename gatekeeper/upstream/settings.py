"""How one upstream is spoken to. Made from config by ``gatekeeper.app``, read by ``upstream.pool``."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from gatekeeper.upstream.circuit import CircuitRule, EjectionRule
from gatekeeper.upstream.connection import Deadlines
from gatekeeper.upstream.health import CheckRule


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Times are seconds. ``max_connections`` counts for each target; at most ``max_waiting`` callers wait for one.

    ``weights`` are those of the targets in turn, not given: all alike. ``retries`` bounds how often a request whose
    connection could not be made moves on to another target; 0 also ends the repetition of a safe request whose kept
    connection was dead. ``between_bytes_timeout`` None lets bodies pause; ``total_timeout`` None sets no bound to an
    exchange as a whole. A kept connection lives for ``max_age`` at most, so that a name that has moved is followed.
    Answers with a status of ``failing`` count as failures of the target, though they reach the client.
    ``ssl_context`` is for https targets (not given: verified against the system's authorities).
    """

    connect_timeout: float = 5.0
    first_byte_timeout: float = 30.0
    idle_timeout: float = 60.0
    between_bytes_timeout: float | None = 30.0
    total_timeout: float | None = None
    max_age: float = 300.0
    max_connections: int = 256
    max_waiting: int = 1024
    retries: int = 1
    weights: tuple[int, ...] = ()
    ejection: EjectionRule = field(default_factory=EjectionRule)
    circuit: CircuitRule = field(default_factory=CircuitRule)
    failing: frozenset[int] = frozenset()
    checks: CheckRule | None = None
    ssl_context: ssl.SSLContext | None = None
    server_name: str | None = None

    @property
    def deadlines(self) -> Deadlines:
        """Those that hold for one connection."""
        return Deadlines(
            connect=self.connect_timeout,
            first_byte=self.first_byte_timeout,
            idle=self.idle_timeout,
            between_bytes=self.between_bytes_timeout,
            total=self.total_timeout,
            max_age=self.max_age,
        )
