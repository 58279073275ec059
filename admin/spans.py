"""How far back charts look: ranges that are cut into bars. Used by ``admin.views.overview`` and ``.map``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gatekeeper.journal.questions import Grain

_HOUR: Final = 3600.0
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Span:
    """How far back a page looks: bars of ``step`` seconds, out of counts by ``grain``."""

    grain: Grain
    step: float
    bars: int


SPANS: Final = {
    "24h": Span(Grain.HOUR, _HOUR, 24),
    "7d": Span(Grain.HOUR, 6 * _HOUR, 28),
    "30d": Span(Grain.DAY, _DAY, 30),
}


def since_of(span: Span, now: float) -> float:
    """When its first bar begins; the last one holds ``now``. Unix seconds."""
    return (now // span.step - span.bars + 1) * span.step
