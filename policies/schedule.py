"""When a rule holds: days and hours in a time zone. Used by ``policies.criteria``; read by ``policies.load``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY: Final = frozenset(range(7))
_MINUTES: Final = 24 * 60
_HOURS: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True)
class Schedule:
    """``days`` count from Monday, 0; ``spans`` are (first minute, first minute no more) of a day.

    A span that ends before it begins goes on past midnight and belongs to the day on which it began. Time is that of
    the clocks on the wall of ``zone``, so an hour that a change of clocks leaves out or repeats is as they show it.
    """

    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    zone: tzinfo

    def holds(self, now: float) -> bool:
        """Whether it is time, at ``now`` in Unix seconds."""
        there = datetime.fromtimestamp(now, self.zone)
        today, minute = there.weekday(), there.hour * 60 + there.minute
        return any(self._within(span, today, minute) for span in self.spans)

    def _within(self, span: tuple[int, int], today: int, minute: int) -> bool:
        begin, end = span
        if begin < end:
            return today in self.days and begin <= minute < end
        if minute >= begin:
            return today in self.days
        return minute < end and (today - 1) % 7 in self.days

    def __str__(self) -> str:
        days = ", ".join(DAYS[day] for day in sorted(self.days))
        hours = ", ".join(f"{_clock(begin)}-{_clock(end)}" for begin, end in self.spans)
        return f"{days} {hours} {self.zone}"


def parse_days(texts: Sequence[str]) -> frozenset[int]:
    """``mon`` or ``mon-fri``, round the week's end too (``sat-mon``). Raises ValueError."""
    days: set[int] = set()
    for text in texts:
        first, dash, last = text.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{text!r}: a day such as mon, or several such as mon-fri, is needed")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        days.update(day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0)))
    return frozenset(days)


def parse_hours(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """``08:00-18:00``, past midnight too (``22:00-06:00``); ``24:00`` is the day's end. Raises ValueError."""
    spans: list[tuple[int, int]] = []
    for text in texts:
        match = _HOURS.fullmatch(text)
        begin, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
        if begin == end or begin >= _MINUTES or end > _MINUTES:
            raise ValueError(f"{text!r}: hours such as 08:00-18:00 or 22:00-06:00 are needed")
        spans.append((begin, end))
    return tuple(spans)


def parse_zone(text: str) -> tzinfo:
    """A time zone by its IANA name. Raises ValueError."""
    try:
        if not _ZONE.fullmatch(text):
            raise ValueError(text)
        return ZoneInfo(text)
    except (ValueError, KeyError, OSError):
        raise ValueError(f"{text!r} is no time zone of the IANA database, such as Europe/Zurich or UTC") from None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
