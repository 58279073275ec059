"""What is asked of the login log: rows by filter, a page at a time, and counts over time. For panel and commands."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol

from gatekeeper.journal.attempts import Attempt, Result
from policies.model import Reason


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the map, its edges included; degrees (WGS 84), ``west`` never beyond ``east``."""

    south: float
    west: float
    north: float
    east: float

    def holds(self, latitude: float | None, longitude: float | None) -> bool:
        """Whether a place is in it; one that is not known is in none."""
        if latitude is None or longitude is None:
            return False
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


_EQUAL: Final = (
    *("result", "reason", "method", "user_id", "email", "country", "asn", "device_kind", "browser", "os", "session"),
)


@dataclass(frozen=True, slots=True)
class LoginFilter:
    """Attempts for which all that is set holds; times in Unix seconds, ``since`` included, ``until`` not.

    ``email`` is one as it was typed, ``network`` where the address is in, ``signal`` one of several it may carry,
    ``risk`` the least. "" for a country, a device, a browser or a system is an unknown one.
    """

    since: float | None = None
    until: float | None = None
    result: Result | None = None
    reason: Reason | None = None
    method: str | None = None
    user_id: str | None = None
    email: str | None = None
    network: IPv4Network | IPv6Network | None = None
    country: str | None = None
    area: Area | None = None
    asn: int | None = None
    device_kind: str | None = None
    browser: str | None = None
    os: str | None = None
    session: str | None = None
    signal: str | None = None
    risk: int | None = None

    def fits(self, attempt: Attempt) -> bool:
        """Whether the database would find it."""
        for name in _EQUAL:
            if (wanted := getattr(self, name)) is not None and (getattr(attempt, name) or "") != wanted:
                return False
        return (
            (self.since is None or attempt.time >= self.since)
            and (self.until is None or attempt.time < self.until)
            and (self.network is None or attempt.address in self.network)
            and (self.area is None or self.area.holds(attempt.latitude, attempt.longitude))
            and (self.signal is None or self.signal in attempt.signals)
            and (self.risk is None or (attempt.risk or 0) >= self.risk)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """The last attempt of a page: the next one begins behind it (keyset pagination)."""

    time: float
    id: uuid.UUID


class Grain(StrEnum):
    """How long a bucket of counts is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Dimension(StrEnum):
    """What counts are kept by."""

    RESULT = "result"
    REASON = "reason"
    COUNTRY = "country"
    DEVICE = "device"


class Shared(StrEnum):
    """What attempts are counted by one at a time (``LoginReader.shares``)."""

    METHOD = "method"
    BROWSER = "browser"
    OS = "os"


@dataclass(frozen=True, slots=True)
class Count:
    """A bucket: its start in Unix seconds, the values of the dimensions that were asked for ("" is none or unknown).

    ``suppressed`` attempts have no rows: there were too many like them.
    """

    start: float
    values: tuple[str, ...]
    attempts: int
    suppressed: int


@dataclass(frozen=True, slots=True)
class Share:
    """Attempts with one value of what is ``Shared``: "" where it is unknown, None all values that are not listed."""

    value: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class CountFilter:
    """Which counts; times in Unix seconds, ``since`` included, ``until`` not."""

    since: float
    until: float
    result: Result | None = None
    reason: Reason | None = None
    country: str | None = None
    device: str | None = None


class LoginReader(Protocol):
    """The login log as it can be asked. Raises StoreUnavailable."""

    async def page(self, wanted: LoginFilter, *, count: int, after: Seen | None = None) -> list[Attempt]:
        """The newest first."""

    async def portion(
        self, wanted: LoginFilter, *, count: int, after: Seen | None = None
    ) -> tuple[list[str], Seen | None]:
        """Attempts as lines of JSON (docs/login-log.md), the newest first; and the last one, if there may be more."""

    async def find(self, attempt: uuid.UUID) -> Attempt | None:
        """One attempt by its id."""

    async def counts(self, grain: Grain, wanted: CountFilter, by: Sequence[Dimension] = ()) -> list[Count]:
        """The oldest first; a bucket without attempts is not there."""

    async def totals(self, grain: Grain, since: float, until: float) -> Mapping[Dimension, Mapping[str, int]]:
        """How many attempts, those without rows too, had each value of each dimension by itself; Unix seconds."""

    async def shares(self, kind: Shared, grain: Grain, since: float, until: float, *, most: int) -> list[Share]:
        """The ``most`` frequent values of all attempts with rows, the most frequent first, and the rest as ``None``.

        ``grain`` is HOUR or DAY; whole buckets that begin from ``since`` on and before ``until``, in Unix seconds.
        """
