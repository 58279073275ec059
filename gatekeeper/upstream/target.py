"""One server of an upstream: its connections, its weight and whether it gets requests.

Owned by ``upstream.pool``; chosen by ``upstream.balance``, judged by ``upstream.circuit`` and ``upstream.health``.
"""

from __future__ import annotations

from gatekeeper.upstream.circuit import EjectionRule, Record
from gatekeeper.upstream.connection import Connection
from gatekeeper.upstream.messages import TargetAddress


class Target:
    """``idle`` are its kept connections, the last used on top; ``open`` counts dials, idle and busy ones."""

    __slots__ = ("address", "credit", "down", "idle", "name", "open", "record", "weight")

    def __init__(self, address: TargetAddress, weight: int, rule: EjectionRule) -> None:
        self.address = address
        self.name = str(address)
        self.weight = weight
        self.idle: list[Connection] = []
        self.open = 0
        self.credit = 0  # of the smooth weighted round robin
        self.down = False  # active checks say so
        self.record = Record(rule)

    @property
    def busy(self) -> int:
        """Exchanges under way, dials included."""
        return self.open - len(self.idle)

    def up(self, now: float) -> bool:
        """Whether requests go to it: it passes its checks and is not put aside."""
        return not self.down and self.record.aside_until <= now
