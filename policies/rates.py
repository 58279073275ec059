"""Rate limits of the request path: what is counted, for whom, and the verdict. Used by ``gatekeeper.gate``.

A sliding-window counter, as the ``limits`` library means it: the count of the window before, weighted by how much of
it the sliding window still covers, plus the count of this one. It admits at most the limit in any aligned window and
errs by at most the unevenness of the window before. Windows are aligned to Unix time, so all workers agree. A limit
may have several windows: a request counts in all of them, or, where one is full, in none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Protocol, assert_never

from policies.facts import fact

EVERYBODY = "*"


class LimitBy(StrEnum):
    """Whose requests are counted together."""

    ADDRESS = "address"
    USER = "user"
    SESSION = "session"
    KEY = "key"  # API keys; whoever comes without one counts by user, or by address
    RULE = "rule"  # everybody's
    HEADER = "header"  # those with the same value of a header field


@dataclass(frozen=True, slots=True)
class Limit:
    """``amount`` requests a ``window`` (seconds) for each key that ``by`` names; ``name`` shows in headers.

    ``more`` are further amounts and windows, each longer than the one before. ``header`` is the field that
    ``LimitBy.HEADER`` goes by. With ``report_only`` nothing is refused.
    """

    name: str
    amount: int
    window: int
    by: LimitBy = LimitBy.ADDRESS
    more: tuple[tuple[int, int], ...] = ()
    header: str | None = None
    report_only: bool = False

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """All amounts and windows."""
        return ((self.amount, self.window), *self.more)

    @property
    def policy(self) -> str:
        """The RateLimit-Policy items (draft-ietf-httpapi-ratelimit-headers), one a window."""
        first = f'"{self.name}";q={self.amount};w={self.window}'
        if not self.more:
            return first
        return ", ".join((first, *(f'"{self.name}-{window}s";q={amount};w={window}' for amount, window in self.more)))


@fact
class Counted:
    """One limit to count for one request: ``who`` is an address key, a user, a session, ..."""

    limit: Limit
    who: str


@fact
class Standing:
    """The verdict: whether the request is within the limit, by the counts of this window (with this request, where it
    was ``allowed``) and of the one before; ``now`` in Unix seconds. ``counts`` are those of the further windows.
    """

    limit: Limit
    allowed: bool
    current: int
    previous: int
    now: float
    counts: Sequence[int] = ()

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
    def further(self) -> list[tuple[int, float]]:
        """What is left, and until when, in the windows after the first."""
        found = []
        for place, (amount, window) in enumerate(self.limit.more):
            reset = window - self.now % window
            weighted = self.counts[2 * place + 1] * reset / window + self.counts[2 * place]
            found.append((max(int(amount - weighted), 0), reset))
        return found

    @property
    def item(self) -> str:
        """The RateLimit items (draft-ietf-httpapi-ratelimit-headers), one a window."""
        first = f'"{self.limit.name}";r={self.remaining};t={int(self.reset) + 1}'
        if not self.limit.more:
            return first
        pairs = zip(self.limit.more, self.further, strict=True)
        further = (f'"{self.limit.name}-{window}s";r={left};t={int(reset) + 1}' for (_, window), (left, reset) in pairs)
        return ", ".join((first, *further))

    @property
    def wait(self) -> float:
        """Seconds until a refused request may be worth another try."""
        full = [reset for left, reset in ((self.remaining, self.reset), *self.further) if not left]
        return max(full, default=self.reset)


class HeaderLines(Protocol):
    """Header fields by name."""

    def getall(self, key: str, default: tuple[str, ...], /) -> Sequence[str]: ...


def key_session(key: str) -> str:
    """What stands in for the session where an API key of this id came instead."""
    return f"key:{key}"


def is_key(session: str) -> bool:
    """Whether it is an API key that stands in for the session."""
    return session.startswith("key:")


def whose(limit: Limit, headers: HeaderLines, address: str, user: str = "", session: str = "") -> str:
    """Whom a limit counts a request for."""
    match limit.by:
        case LimitBy.ADDRESS:
            return address
        case LimitBy.USER:
            return user
        case LimitBy.SESSION:
            return session
        case LimitBy.KEY:
            return session if is_key(session) else user or address
        case LimitBy.RULE:
            return EVERYBODY
        case LimitBy.HEADER:
            lines = headers.getall(limit.header or "", ())
            # Hashed, as it may be long, or a secret; and who leaves it out does not get round the limit.
            value = "\n".join(lines).encode("utf-8", "surrogateescape")
            return f"h:{sha256(value).hexdigest()[:32]}" if lines else address
        case _:
            assert_never(limit.by)


class LocalWindows:
    """The same counter in memory, for when Redis is gone: bounded, per process, the oldest key falls out."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._windows: OrderedDict[tuple[str, str], list[tuple[int, int, int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, use: Counted, now: float, *, may: bool = True) -> Standing:
        """Count one request, or refuse it; without ``may`` nothing is counted."""
        limit, key = use.limit, (use.limit.name, use.who)
        windows = limit.windows
        known = self._windows.pop(key, None)
        if known is None or len(known) != len(windows):
            known = [(0, 0, 0)] * len(windows)
        turned = [_turned(one, int(now // window)) for one, (_, window) in zip(known, windows, strict=True)]
        counted = may and all(map(partial(_has_room, now), turned, windows))
        self._windows[key] = turned = [(at, current + counted, before) for at, current, before in turned]
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        current, previous, *more = [count for one in turned for count in one[1:]]
        return Standing(limit, counted, current, previous, now, more)


def _has_room(now: float, turned: tuple[int, int, int], limit: tuple[int, int]) -> bool:
    (_, current, previous), (amount, window) = turned, limit
    return previous * (1 - (now % window) / window) + current + 1 <= amount


def _turned(known: tuple[int, int, int], index: int) -> tuple[int, int, int]:
    """The counts as they stand in the window ``index``."""
    at, current, _ = known
    if at == index:
        return known
    return index, 0, current if at == index - 1 else 0
