"""What the panel's map asks: how many attempts there were from where, and when. Owned by ``admin.views.map``,
answered by ``gatekeeper.store.login_places``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gatekeeper.journal.questions import Count, Grain, LoginFilter


@dataclass(frozen=True, slots=True)
class Spot:
    """A place and its attempts by result. ``country`` is "" where it is unknown, ``city`` too; ``latitude`` and
    ``longitude`` are degrees to a tenth, None where no more than the country is known.
    """

    country: str
    city: str
    latitude: float | None
    longitude: float | None
    attempts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Attempts of any result."""
        return sum(self.attempts.values())


@dataclass(frozen=True, slots=True)
class Found:
    """What was found; not ``complete`` where it is of the newest attempts only."""

    spots: Sequence[Spot]
    complete: bool


class PlaceReader(Protocol):
    """Raises StoreUnavailable. A filter has both its times, and they are starts of hours or days (UTC)."""

    async def spots(self, wanted: LoginFilter, grain: Grain) -> Found:
        """Those with the most attempts first."""

    async def times(self, wanted: LoginFilter, grain: Grain) -> Sequence[Count]:
        """Attempts by result and hour or day, the oldest first."""
