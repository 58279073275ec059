"""How often each rule decides: counted in memory by every worker, written now and then, read by the panel.

The counts are those of ``observe.metrics``, taken over when it hands its sums on: the path of a request knows nothing
of this. ``app.rule_hits`` writes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

KEPT: Final = 31 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True, order=True)
class Ruling:
    """What was decided: by which rule ('' where by none), or what one that only reports would have (``reported``).

    ``verdict`` is the lower-case name of a ``policies.model.Verdict``, ``reason`` '' where there is none.
    """

    rule: str
    reported: bool
    verdict: str
    reason: str


class HitStore(Protocol):
    """Where the counts are kept. Raises StoreUnavailable."""

    async def add(self, hits: Mapping[Ruling, int], now: float) -> None:
        """To those of the hour of ``now`` (Unix seconds), all or none."""

    async def forget(self, before: float) -> None:
        """All hours that began before then."""


@dataclass(frozen=True, slots=True)
class Hits:
    """How often something was decided in the time that was asked for, and when at last since counts are kept
    (Unix seconds).
    """

    ruling: Ruling
    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class HourHits:
    """How often something was decided in the hour that begins at ``start`` (Unix seconds)."""

    start: float
    ruling: Ruling
    count: int


class HitReader(Protocol):
    """What the panel asks. Raises StoreUnavailable."""

    async def totals(self, rules: Sequence[str], since: float) -> list[Hits]:
        """Of these rules; the counts begin with the hour of ``since``, and may be 0."""

    async def hours(self, rule: str, since: float) -> list[HourHits]:
        """Of one rule."""


class RuleHits:
    """The counts of one worker that wait to be written. As many as there are rules times outcomes, at most."""

    def __init__(self) -> None:
        self._waiting: dict[Ruling, int] = defaultdict(int)

    def decided(self, sums: Mapping[tuple[str, ...], int]) -> None:
        """Counts by decision, reason and rule."""
        for (verdict, reason, rule), count in sums.items():
            self._waiting[Ruling(rule, False, verdict, reason)] += count

    def reported(self, sums: Mapping[tuple[str, ...], int]) -> None:
        """Counts by rule, decision and reason, of what only reports."""
        for (rule, verdict, reason), count in sums.items():
            self._waiting[Ruling(rule, True, verdict, reason)] += count

    def take(self) -> dict[Ruling, int]:
        """Those that wait, which wait no more."""
        taken, self._waiting = dict(self._waiting), defaultdict(int)
        return taken

    def give_back(self, taken: Mapping[Ruling, int]) -> None:
        """They could not be written."""
        for ruling, count in taken.items():
            self._waiting[ruling] += count
