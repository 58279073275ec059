"""The names of events, and the patterns by which they are asked for. For the configuration's checks and the hub."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LOGINS: Final = ("login.success", "login.failure", "login.blocked")
AREAS: Final = {
    "login": "attempts to sign in",
    "signal": "what was odd about one, such as signal.new_country",
    "user": "changes of accounts, such as user.lock",
    "session": "sessions that somebody ended",
    "token": "tokens that a service revoked",
    "ban": "bans added and lifted",
    "api-key": "API keys made, rotated and revoked",
    "key": "signing keys",
    "rules": "rules changed or reloaded",
    "logs": "logs archived, restored and erased",
}
"""The first parts of all names. Below ``login`` are LOGINS, below ``signal`` the signals, below the others changes."""


def fault_of_pattern(pattern: str) -> str | None:
    """What is wrong with an event's name, or with ``AREA.*`` or ``*``; None where nothing is."""
    if pattern == "*":
        return None
    area, _, rest = pattern.partition(".")
    if area not in AREAS or not rest:
        return f"there is no event {pattern}; there are *, {', '.join(f'{area}.*' for area in AREAS)}"
    if area == "login" and rest != "*" and pattern not in LOGINS:
        return f"there is no event {pattern}; there are {', '.join(LOGINS)}"
    return None


class Wanted:
    """Which types somebody asked for, as patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = frozenset(patterns)
        self._all = "*" in patterns
        self._types = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self._under = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(".*"))

    def __contains__(self, name: str) -> bool:
        return self._all or name in self._types or name.startswith(self._under)
