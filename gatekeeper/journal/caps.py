"""Caps against log flooding: how many attempts a minute get rows of their own. Asked by ``journal.recorder``.

Beyond a cap attempts are counted instead. Successful ones always get a row: there is a session to each. Counted in
each worker for itself, by the minute of the attempt; ``app.login_log`` gives each its share of the cap of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

from gatekeeper.journal.attempts import Attempt, Result

_MOST_SUBJECTS: Final = 100_000  # in a minute; a new one beyond them has only the cap of all


class Cap(StrEnum):
    """Which cap was reached."""

    SESSION = "session"
    ADDRESS = "address"
    MINUTE = "minute"


@dataclass(frozen=True, slots=True)
class Reached:
    """What an attempt was too many for: a session, a network or, with an empty ``subject``, all."""

    cap: Cap
    subject: str


class FloodCaps:
    """Rows a minute: of one session, of one address (IPv6: one /64), of all together."""

    def __init__(self, *, session: int, address: int, minute: int) -> None:
        self._most = {Cap.SESSION: session, Cap.ADDRESS: address, Cap.MINUTE: minute}
        self._minute = 0
        self._counts: dict[tuple[Cap, str], int] = {}

    def take(self, attempt: Attempt) -> Reached | None:
        """None: a row for it. Else what is full, and only that is counted against nobody else."""
        minute = int(attempt.time // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        subjects = list(self._subjects(attempt))
        if attempt.result is not Result.SUCCESS:
            for subject in subjects:
                if self._counts.get(subject, 0) >= self._most[subject[0]]:
                    return Reached(*subject)
        for subject in subjects:
            if subject in self._counts or len(self._counts) < _MOST_SUBJECTS:
                self._counts[subject] = self._counts.get(subject, 0) + 1
        return None

    def _subjects(self, attempt: Attempt) -> list[tuple[Cap, str]]:
        address = attempt.address
        network = str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))
        found = [(Cap.ADDRESS, network), (Cap.MINUTE, "")]
        return [(Cap.SESSION, attempt.session), *found] if attempt.session else found
