"""Limits on attempts: failed logins per address and account, registrations, refreshes.

The grammar and the counting are those of the ``limits`` library (sliding-window counter in Redis). Policy when
Redis is gone: the call that asked fails with StoreUnavailable, because login needs Redis anyway.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import Protocol

import limits
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from gatekeeper.errors import Problem
from policies.model import Reason


class Rate:
    """A limit that may change while the gate runs: ``item`` is what is in force. Another rate begins to count anew."""

    __slots__ = ("item",)

    def __init__(self, item: limits.RateLimitItem) -> None:
        self.item = item


class AttemptCounter(Protocol):
    """Counts attempts. Raises StoreUnavailable."""

    async def take(self, limit: Rate, *key: str) -> float | None:
        """Count one; None where it is within the limit, else the seconds to wait."""

    async def give_back(self, limit: Rate, *key: str) -> None:
        """Uncount one (it was a success after all)."""

    async def clear(self, limit: Rate, *key: str) -> None:
        """Uncount all."""


class LimitsCounter:
    """The counter over the ``limits`` library, on a storage that raises StoreUnavailable (``store.redis``)."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, limit: Rate, *key: str) -> float | None:
        """Count first, judge after: parallel guesses cannot all pass on one reading."""
        if await self._limiter.hit(limit.item, *key):
            return None
        window = await self._limiter.get_window_stats(limit.item, *key)
        # The library's own window ends are wall-clock times.
        return float(max(window.reset_time - time.time(), 1.0))  # noqa: TID251

    async def give_back(self, limit: Rate, *key: str) -> None:
        await self._limiter.hit(limit.item, *key, cost=-1)

    async def clear(self, limit: Rate, *key: str) -> None:
        await self._limiter.clear(limit.item, *key)


def account_key(secret: bytes, email: str) -> str:
    """The counter's key for an e-mail that no account has: an HMAC, so that no addresses lie in Redis."""
    return hmac.new(secret, f"account\0{email}".encode(), sha256).hexdigest()[:32]


async def take_or_refuse(counter: AttemptCounter, limit: Rate, *key: str) -> None:
    """Count one attempt. Raises Problem (429) when the limit is reached."""
    wait = await counter.take(limit, *key)
    if wait is not None:
        seconds = int(wait) + 1
        raise Problem(429, Reason.RATE_LIMITED, "Too many attempts; try again later.", retry_after=seconds)
