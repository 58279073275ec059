"""Rate limits of the request path: what is counted, for whom, and the verdict. Used by ``gatekeeper.gate``.

A sliding-window counter, as the ``limits`` library means it: the count of the window before, weighted by how much of
it the sliding window still covers, plus the count of this one. It admits at most the limit in any aligned window and
errs by at most the unevenness of the window before. Windows are aligned to Unix time, so all workers agree.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from policies.facts import fact


class LimitBy(StrEnum):
    """Whose requests are counted together."""

    ADDRESS = "address"
    USER = "user"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Limit:
    """``amount`` requests a ``window`` (seconds) for each key that ``by`` names; ``name`` shows in headers."""

    name: str
    amount: int
    window: int
    by: LimitBy = LimitBy.ADDRESS

    @property
    def policy(self) -> str:
        """The RateLimit-Policy item (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";q={self.amount};w={self.window}'


@fact
class Counted:
    """One limit to count for one request: ``who`` is an address key, a user or a session."""

    limit: Limit
    who: str


@fact
class Standing:
    """The verdict: whether the request is within the limit, by the counts of this window (with this request, where it
    was ``allowed``) and of the one before; ``now`` in Unix seconds.
    """

    limit: Limit
    allowed: bool
    current: int
    previous: int
    now: float

    @property
    def reset(self) -> float:
        """Seconds until there is more."""
        return self.limit.window - self.now % self.limit.window

    @property
    def remaining(self) -> int:
        """How many more requests are within the limit."""
        weighted = self.previous * self.reset / self.limit.window + self.current
        return max(int(self.limit.amount - weighted), 0)

    @property
    def item(self) -> str:
        """The RateLimit item (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.limit.name}";r={self.remaining};t={int(self.reset) + 1}'


class LocalWindows:
    """The same counter in memory, for when Redis is gone: bounded, per process, the oldest key falls out."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._windows: OrderedDict[tuple[str, str], tuple[int, int, int]] = OrderedDict()

    def take(self, use: Counted, now: float, *, may: bool = True) -> Standing:
        """Count one request, or refuse it; without ``may`` nothing is counted."""
        limit, key = use.limit, (use.limit.name, use.who)
        index = int(now // limit.window)
        at, current, previous = self._windows.pop(key, (index, 0, 0))
        if at != index:
            current, previous = 0, current if at == index - 1 else 0
        weight = 1 - (now % limit.window) / limit.window
        counted = may and previous * weight + current + 1 <= limit.amount
        current += counted
        self._windows[key] = (index, current, previous)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return Standing(limit, counted, current, previous, now)
