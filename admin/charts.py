"""Charts as plain shapes that templates write as SVG: no script, no inline style, readable without either.

Called by ``admin.views.overview``, ``admin.views.map`` and ``admin.bubbles``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gatekeeper.journal.questions import Count
from gatekeeper.journal.questions import Share as LogShare


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a bar, in the chart's units: 0 to 100 from the top."""

    result: str
    attempts: int
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What happened from ``start`` to ``end`` (Unix seconds)."""

    start: float
    end: float
    total: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of equal width, oldest first; ``most`` is the height of the scale."""

    bars: Sequence[Bar]
    most: int
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Share:
    """A line of a breakdown: ``part`` from 0 to 100 of the largest."""

    value: str
    attempts: int
    part: float


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a disc or a ring: what, how many, where it begins and how much it is in hundredths of the whole."""

    value: str
    attempts: int
    start: float
    part: float


def slices(counts: Mapping[str, int]) -> list[Slice]:
    """The parts of a whole, in the order of ``counts``; what is nothing is left out."""
    total, reached, found = sum(counts.values()) or 1, 0, []
    for value, attempts in counts.items():
        if attempts:
            found.append(Slice(value, attempts, round(100 * reached / total, 2), round(100 * attempts / total, 2)))
            reached += attempts
    return found


def stacked(counts: Iterable[Count], results: Sequence[str], *, since: float, step: float, bars: int) -> Chart:
    """Counts by result as bars of ``step`` seconds from ``since`` on; empty ones included."""
    found = [dict.fromkeys(results, 0) for _ in range(bars)]
    for count in counts:
        at = int((count.start - since) // step)
        if 0 <= at < bars and count.values[0] in found[at]:
            found[at][count.values[0]] += count.attempts + count.suppressed
    most = nice(max((sum(one.values()) for one in found), default=0))
    totals = {result: sum(one[result] for one in found) for result in results}
    return Chart([_bar(one, since + step * at, step, most) for at, one in enumerate(found)], most, totals)


def _bar(found: Mapping[str, int], start: float, step: float, most: int) -> Bar:
    parts, reached = [], 0
    for result, attempts in found.items():
        if attempts:
            height = 100 * attempts / most
            parts.append(Part(result, attempts, round(100 - 100 * reached / most - height, 3), round(height, 3)))
            reached += attempts
    return Bar(start, start + step, reached, parts)


def nice(value: int) -> int:
    """The next number that a scale may end at: 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, ..."""
    size = 1
    while True:
        for digit in (1, 2, 3, 4, 5, 6, 8):
            if value <= digit * size:
                return digit * size
        size *= 10


def shares(counts: Mapping[str, int], *, most: int = 6) -> list[Share]:
    """The largest, and the rest as one."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    if len(ordered) > most:
        rest = sum(attempts for _, attempts in ordered[most - 1 :])
        ordered = [*ordered[: most - 1], ("others", rest)]
    top = max((attempts for _, attempts in ordered), default=1) or 1
    return [Share(value, attempts, round(100 * attempts / top, 2)) for value, attempts in ordered]


def breakdown(found: Iterable[LogShare]) -> list[Share]:
    """Shares of the login log, in its order and its rest last."""
    named = [("others" if one.value is None else one.value or "unknown", one) for one in found]
    named.sort(key=lambda pair: pair[1].value is None)
    top = max((one.attempts for _, one in named), default=0)
    return [Share(name, one.attempts, round(100 * one.attempts / top, 2)) for name, one in named]
