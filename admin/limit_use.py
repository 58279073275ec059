"""How limits are used up, as the panel's page of limits asks it; answered by ``gatekeeper.store.limit_use``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from policies.rates import Limit


@dataclass(frozen=True, slots=True)
class Use:
    """Requests that count now for somebody: an address, a user's id, a session..."""

    who: str
    requests: int


@dataclass(frozen=True, slots=True)
class Used:
    """The greatest uses by the limit's name; not ``whole`` where there are more counters than are looked at."""

    most: Mapping[str, Sequence[Use]]
    whole: bool


class UseReader(Protocol):
    """Knows the counters."""

    async def most(self, limits: Sequence[Limit], now: float, *, count: int) -> Used:
        """The ``count`` greatest of each limit, by its first window. Raises StoreUnavailable."""
