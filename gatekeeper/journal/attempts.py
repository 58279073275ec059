"""Login attempts: one row each, written before the attempt is answered. Called by identity."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from policies.model import Address, Reason


class Result(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login attempt; ``time`` in Unix seconds, ``email`` as typed, ``factor`` the second one that was shown."""

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


class AttemptLog(Protocol):
    """Where attempts are written and read. Raises StoreUnavailable."""

    async def record_attempt(self, attempt: Attempt, key: uuid.UUID) -> None:
        """Write once; a second write under the same key changes nothing."""

    async def latest_attempts(self, count: int) -> list[Attempt]: ...
