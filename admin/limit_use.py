"""How limits are used up, as the panel's page of limits asks it; answered by ``gatekeeper.store.limit_use``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gatekeeper.identity.tallies import Part


@dataclass(frozen=True, slots=True)
class Meter:
    """One limit whose counters are looked at: its ``setting`` in the configuration, what it ``says`` in words, what its
    counters are ``of``, and its windows (amount, seconds), the shortest first.

    Limits of requests are known by their ``name``, which is a ``rule``'s or that of the limit of all; those of
    attempts, which the ``limits`` library counts, by the words of a tally and how the library writes the ``rate``.
    """

    name: str
    setting: str
    says: str
    of: tuple[Part, ...]
    windows: tuple[tuple[int, int], ...]
    report_only: bool = False
    rate: str | None = None
    rule: bool = False

    @property
    def attempts(self) -> bool:
        """Whether attempts are counted, and not requests."""
        return self.rate is not None


@dataclass(frozen=True, slots=True)
class Use:
    """What counts now for somebody (the parts of the counter's key that say who), in each window of a meter."""

    who: tuple[str, ...]
    counts: tuple[int, ...]

    def share(self, meter: Meter) -> float:
        """How much of the limit that is, in the window of which it is the greatest part."""
        return max(count / amount for count, (amount, _) in zip(self.counts, meter.windows, strict=True))


@dataclass(frozen=True, slots=True)
class Used:
    """The greatest uses of each meter by the time ``looked`` of about ``keys`` keys in Redis were looked at; with
    ``whole`` a look at all of them has lately been finished.
    """

    most: Mapping[Meter, Sequence[Use]]
    looked: int
    keys: int
    whole: bool


class UseReader(Protocol):
    """Knows the counters."""

    async def most(self, meters: Sequence[Meter], now: float, *, count: int) -> Used:
        """The ``count`` greatest of each. Raises StoreUnavailable."""
