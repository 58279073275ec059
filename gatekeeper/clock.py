"""The one place that reads the time. Everyone else takes ``now`` as an argument or a ``Clock``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time in Unix seconds."""

    def now(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)  # noqa: TID251  # the one place


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """The time last set, in Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward (or back, with a negative value)."""
        self._now += seconds


def as_datetime(seconds: float) -> datetime:
    """Unix seconds as an aware UTC datetime, the form that PostgreSQL takes."""
    return datetime.fromtimestamp(seconds, tz=UTC)
