"""How fast a count grows lately. Used by ``metrics`` for the requests a second that the panel shows."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 10.0  # seconds


class Pace:
    """Looks back ``window`` seconds; the first look says nothing yet."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._count = 0
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        """So many more."""
        self._count += count

    def rate(self, now: float) -> float:
        """A second, in the window that ends now; ``now`` in seconds of a clock that only goes forward."""
        seen, count = self._seen, self._count
        seen.append((now, count))
        while len(seen) > 2 and seen[1][0] <= now - self._window:
            seen.popleft()
        since, before = seen[0]
        return (count - before) / (now - since) if now > since else 0.0
