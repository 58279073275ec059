"""The digest: what happened at the gate lately, in one mail to whoever runs it. Built and run by ``gatekeeper.app``.

Every worker of every gate looks now and then; whose turn a period is, is decided together with putting its mails into
the outbox, so that each is told once. Nothing in it is a client's own text.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gatekeeper.clock import Clock, as_datetime
from gatekeeper.errors import StoreUnavailable
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Parcel, masked, seal
from gatekeeper.tokens.sealing import Sealer

LOOK_EVERY: Final = 60.0  # seconds
LATE: Final = 300.0  # seconds after a period's end in which its last attempts have come into the log
LIFE: Final = 2 * 86_400.0
_MONDAY: Final = 4 * 86_400.0  # 1970 began on a Thursday; periods are counted from the Monday after
_TOP: Final = 5

_log = logging.getLogger("gatekeeper.notify")

Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened in a period; counts are (name, number), the greatest first."""

    results: Counts = ()
    reasons: Counts = field(default=())  # of what failed or was blocked
    countries: Counts = field(default=())  # likewise
    addresses: Counts = field(default=())  # likewise
    signals: Counts = field(default=())
    changes: Counts = field(default=())  # entries of the audit log by action
    bans: Counts = field(default=())  # by what made them
    accounts: int = 0  # made
    given_up: int = 0  # messages and webhooks


class DigestStore(Protocol):
    """What digests need of the database. Raises StoreUnavailable."""

    async def told_until(self, first: float) -> float:
        """The end (Unix seconds) of the last period that was told; ``first`` where there has been none yet."""

    async def figures(self, since: float, until: float) -> Figures: ...

    async def issue(self, since: float, until: float, parcels: Sequence[Parcel], now: float) -> bool:
        """Put the mails of a period into the outbox, unless somebody else has."""


class Digests:
    """``to`` are addresses, ``every`` is a period's length in seconds; ``wake`` is called when there are mails."""

    def __init__(
        self,
        store: DigestStore,
        sealer: Sealer,
        clock: Clock,
        *,
        to: Sequence[str],
        every: float,
        panel: str,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._to = tuple(to)
        self._every = every
        self._panel = panel
        self._wake = wake

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as fault:
                _log.warning("a digest cannot be made: %s", fault)
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> bool:
        """Tell of the periods that have ended since the last digest, in one; whether there were any."""
        now = self._clock.now()
        until = period_start(now - LATE, self._every)
        since = await self._store.told_until(until)
        if since >= until:
            return False
        figures = await self._store.figures(since, until)
        facts = {"since": _day(since), "until": _day(until), "panel": self._panel, "report": report(figures)}
        parcels = [self._parcel(Message(Kind.DIGEST, to, now + LIFE, facts)) for to in self._to]
        issued = await self._store.issue(since, until, parcels, now)
        if issued:
            self._wake()
        return issued

    def _parcel(self, message: Message) -> Parcel:
        key = uuid.UUID(bytes=secrets.token_bytes(16), version=4)
        sealed = seal(self._sealer, message, key)
        return Parcel(key, "smtp", message.kind, sealed, message.until, recipient=masked(message.to))


def period_start(now: float, every: float) -> float:
    """When the period that ``now`` is in began: whole periods since a Monday, 00:00 UTC."""
    return (now - _MONDAY) // every * every + _MONDAY


def report(figures: Figures) -> str:
    """The figures as lines of text."""
    said = dict(figures.results)
    lines = [
        f"Sign-ins: {said.get('success', 0)}, failed: {said.get('failure', 0)}, blocked: {said.get('blocked', 0)}",
        f"Accounts made: {figures.accounts}",
    ]
    parts = {
        "Why they failed": figures.reasons,
        "From where": figures.countries,
        "Most of them from": figures.addresses,
        "What was odd": figures.signals,
        "Bans": figures.bans,
        "Changes": figures.changes,
    }
    for title, counts in parts.items():
        if counts:
            lines += ["", f"{title}:", *(f"  {number} x {name}" for name, number in counts[:_TOP])]
            if len(counts) > _TOP:
                lines.append(f"  and {len(counts) - _TOP} more")
    if figures.given_up:
        lines += ["", f"Messages that could not be sent: {figures.given_up}"]
    return "\n".join(lines)


def _day(time: float) -> str:
    return as_datetime(time).strftime("%Y-%m-%d %H:%M UTC")
