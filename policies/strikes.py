"""Strikes: offences of one address are counted until a ban is due. Used by ``gatekeeper.bans.strikes``.

``LocalStrikes`` counts in memory: it is what the gate goes by while Redis is gone, and what tests hold the script of
the real store to.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from policies.bans import Penalty, Source


@dataclass(frozen=True, slots=True)
class Threshold:
    """``after`` offences ``within`` so many seconds make a ban."""

    after: int
    within: float


@dataclass(frozen=True, slots=True)
class Strike:
    """One offence: of which kind, by whom (an address, or a /64), and what tells it from others.

    Two strikes with the same ``what`` count once: an account in a password spray, a request's id elsewhere.
    """

    source: Source
    who: str
    what: str
    threshold: Threshold


class StrikeStore(Protocol):
    """Counts strikes. One atomic step; raises StoreUnavailable."""

    async def strike(self, strike: Strike, penalty: Penalty, now: float) -> int:
        """0, or the level of the ban that is due (1: the first). Each offence counts for one ban only."""


@dataclass(slots=True)
class _Record:
    """What is known of one offender."""

    offences: dict[Source, OrderedDict[str, float]] = field(default_factory=dict)
    level: int = 0
    at: float = 0.0


class LocalStrikes:
    """The same count in memory: bounded, per process; whoever was quiet longest falls out."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._records: OrderedDict[str, _Record] = OrderedDict()

    async def strike(self, strike: Strike, penalty: Penalty, now: float) -> int:
        """As ``StrikeStore``; never raises."""
        record = self._records.pop(strike.who, None) or _Record()
        self._records[strike.who] = record
        if len(self._records) > self._most:
            self._records.popitem(last=False)
        offences = record.offences.setdefault(strike.source, OrderedDict())
        offences.pop(strike.what, None)
        offences[strike.what] = now
        while next(iter(offences.values())) < now - strike.threshold.within:
            offences.popitem(last=False)
        if len(offences) < strike.threshold.after:
            return 0
        del record.offences[strike.source]
        record.level, record.at = penalty.level_after(record.level, record.at, now), now
        return record.level
