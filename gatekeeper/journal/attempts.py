"""Login attempts: one row each, written before the attempt is answered. Called by identity."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from policies.model import Address, Reason

_MADE: Final = uuid.UUID(int=0)  # stands for an id that the attempt makes itself
_MILLISECONDS: Final = 1 << 48  # of a UUID's time


class Result(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login attempt; its fields are the columns of ``login_logs``, None where nothing is known.

    ``time`` in Unix seconds, ``email`` as typed, ``factor`` the second one that was shown; ``latitude`` and
    ``longitude`` in degrees (WGS 84), ``accuracy_km`` the radius around them; ``device_kind`` such as desktop or
    phone, ``device_id`` what the browser's signed cookie says; ``signals`` by name, ``evidence`` what each rests on,
    ``risk`` from 0 to 100, ``action`` the strictest thing they led to; ``latency_ms`` until the answer was known.
    ``id`` is the attempt's own, and says when it was (``made_at``): written twice, it is one row all the same.
    """

    time: float
    email: str
    user_id: str | None
    result: Result
    reason: Reason | None
    method: str
    address: Address
    country: str | None
    user_agent: str
    session: str | None
    request_id: str
    factor: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: float | None = None
    asn: int | None = None
    as_org: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device_kind: str | None = None
    device_id: str | None = None
    fingerprint: str | None = None
    signals: tuple[str, ...] = ()
    evidence: Mapping[str, object] | None = None
    risk: int | None = None
    action: str | None = None
    latency_ms: float | None = None
    id: uuid.UUID = _MADE

    def __post_init__(self) -> None:
        """An attempt without an id gets one."""
        if self.id is _MADE:
            object.__setattr__(self, "id", _id_at(self.time))


def made_at(attempt: uuid.UUID) -> float | None:
    """When an attempt was, in Unix seconds and to the millisecond; None where its id does not say (RFC 9562 5.7).

    An id from elsewhere may name any time until the year 10889.
    """
    return (attempt.int >> 80) / 1000 if attempt.version == 7 else None


def _id_at(time: float) -> uuid.UUID:
    """UUID version 7: 48 bits of milliseconds, then 74 bits of chance."""
    chance = int.from_bytes(os.urandom(10))
    value = int(time * 1000) % _MILLISECONDS << 80 | chance
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    return uuid.UUID(int=value & ~(0xC000 << 48) | 0x8000 << 48)


class AttemptLog(Protocol):
    """Where attempts are written. Raises StoreUnavailable."""

    async def record_attempt(self, attempt: Attempt) -> None:
        """Write it; a second write of the same attempt changes nothing."""
