"""Open signals: odd attempts that nobody has dealt with, one line an account, an attacking address or clients that look
alike. Owned by ``admin.views.signals``, answered by ``gatekeeper.store.open_signals``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gatekeeper.journal.attempts import Attempt

ODD: Final = 40  # the risk from which an attempt is worth an admin's time
KEPT: Final = 7 * 86_400.0  # seconds for which one stays open
NEWEST: Final = 2000  # odd attempts that are looked at


@dataclass(frozen=True, slots=True)
class Odd:
    """What is open about one subject: its riskiest attempt, how many there are, and when they were (Unix seconds)."""

    subject: str
    attempt: Attempt
    attempts: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class OpenSignals:
    """The newest, and how many there are in all; ``reach`` is how far back was looked (Unix seconds) where there were
    more than ``NEWEST`` odd attempts, else None.
    """

    lines: Sequence[Odd]
    total: int
    reach: float | None = None


class OddReader(Protocol):
    """Raises StoreUnavailable."""

    async def open(self, now: float, *, count: int) -> OpenSignals:
        """Among the ``NEWEST`` attempts of at least ``ODD``, those that nobody has closed."""

    async def close(self, odd: Odd, by: str, now: float) -> None:
        """Whatever was odd about its subject until its last attempt."""

    async def of(self, attempt: uuid.UUID, now: float) -> Odd | None:
        """The open line that the attempt with this id is part of."""
