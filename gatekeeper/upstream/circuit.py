"""When to stop asking: a target that fails is put aside, an upstream that fails as a whole is not asked at all.

Fed by ``upstream.pool`` with what real requests met. All times are seconds of the pool's clock; ``began`` is when
the request set out, so that what was under way before a verdict cannot change it afterwards.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from gatekeeper.errors import UpstreamUnavailable

_MOST_ROUNDS = 64  # beyond it growth only overflows


class CircuitOpen(UpstreamUnavailable):
    """Refused without asking; trying again makes sense in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class EjectionRule:
    """``failures`` in a row (0: never) ``within`` so many seconds put a target aside for ``seconds``.

    Each time again it is ``growth`` times as long, up to ``longest``, until the target has held out for as long as
    it was last put aside.
    """

    failures: int = 5
    within: float = 10.0
    seconds: float = 10.0
    growth: float = 2.0
    longest: float = 300.0


class Record:
    """How one target has fared. ``troubled`` while there is anything that a good answer would clear."""

    __slots__ = ("_failures", "_length", "_on_probation", "_rounds", "_rule", "aside_since", "aside_until", "troubled")

    def __init__(self, rule: EjectionRule) -> None:
        self._rule = rule
        self._failures: deque[float] = deque(maxlen=max(rule.failures, 1))
        self._on_probation = False
        self._rounds = 0
        self._length = 0.0
        self.aside_since = -math.inf
        self.aside_until = -math.inf
        self.troubled = False

    def failed(self, began: float, now: float) -> bool:
        """Note a failure; whether it is time to put the target aside."""
        if not self._rule.failures or began < self.aside_since:
            return False
        self.troubled = True
        self._failures.append(now)
        if self._on_probation:  # it has just come back, and the first thing it did was to fail
            return True
        return len(self._failures) == self._rule.failures and now - self._failures[0] <= self._rule.within

    def eject(self, now: float) -> float:
        """Put it aside; for how many seconds."""
        if now - self.aside_until > self._length:
            self._rounds = 0
        self._rounds = min(self._rounds + 1, _MOST_ROUNDS)
        self._length = min(self._rule.longest, self._rule.seconds * self._rule.growth ** (self._rounds - 1))
        self._failures.clear()
        self._on_probation = self.troubled = True
        self.aside_since = now
        self.aside_until = now + self._length
        return self._length

    def answered(self, began: float, now: float) -> bool:
        """Note a good answer; whether that brings the target back."""
        if began < self.aside_since:
            return False
        back = self._on_probation
        self._failures.clear()
        self._on_probation = self.troubled = False
        self.aside_until = min(self.aside_until, now)
        return back


@dataclass(frozen=True, slots=True)
class CircuitRule:
    """The circuit opens when ``share`` of at least ``requests`` (0: never) ``within`` so many seconds have failed.

    It opens too when the last target that is left would be put aside. While it is open one request is let through
    every ``seconds``; the first that is answered closes it.
    """

    share: float = 0.5
    requests: int = 20
    within: float = 10.0
    seconds: float = 1.0


class Circuit:
    """Whether an upstream as a whole is asked."""

    __slots__ = ("_changed", "_failures", "_next_probe", "_rule", "_window_ends", "answers", "is_open")

    def __init__(self, rule: CircuitRule) -> None:
        self._rule = rule
        self.is_open = False
        self._changed = -math.inf
        self._next_probe = 0.0
        # A window begins with a failure, so that answers cost no look at the clock.
        self._window_ends = -math.inf
        self.answers = 0  # good ones; counted by the pool while all is well
        self._failures = 0

    def shut(self, now: float) -> bool:
        """Whether it is open and no probe is due."""
        return self.is_open and now < self._next_probe

    def wait(self, now: float) -> float:
        """0 for the one request that may probe, else the seconds until the next may.

        The next probe does not wait for the last one's answer: a slow request must not keep everyone out.
        """
        if now < self._next_probe:
            return self._next_probe - now
        self._next_probe = now + self._rule.seconds
        return 0.0

    def answered(self, began: float, now: float) -> bool:
        """Note a good answer; whether it closes the circuit."""
        self.answers += 1
        if not self.is_open or began < self._changed:
            return False
        self._change(now, is_open=False)
        return True

    def failed(self, began: float, now: float) -> bool:
        """Note a failure; whether it opens the circuit."""
        if self.is_open or began < self._changed or not self._rule.requests:
            return False
        if now >= self._window_ends:
            self._window_ends = now + self._rule.within
            self.answers = self._failures = 0
        self._failures += 1
        total = self._failures + self.answers
        return total >= self._rule.requests and self._failures >= self._rule.share * total and self.trip(now)

    def trip(self, now: float) -> bool:
        """Open it; False when it is open already."""
        if self.is_open:
            return False
        self._change(now, is_open=True)
        self._next_probe = now + self._rule.seconds
        return True

    def _change(self, now: float, *, is_open: bool) -> None:
        self.is_open = is_open
        self._changed = now
        self._window_ends = -math.inf
