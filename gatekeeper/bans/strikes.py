"""Automatic bans: whoever misbehaves often enough stays out, longer each time. Called by identity and the gate.

Counting is one atomic step in Redis; while it is gone, a bounded count of this worker's own. A ban that is due is in
force here at once. Nothing here raises for a store: an offence is answered as what it is, whatever becomes of the
count.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gatekeeper.bans.desk import facts
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.audit import AuditLog, Change
from policies.ban_list import BanList
from policies.bans import Ban, BanStore, Network, Penalty, Source, Subject, entries_of, of_offender, whole_end
from policies.model import Address
from policies.strikes import LocalStrikes, Strike, StrikeStore, Threshold

_MOST_UNWRITTEN: Final = 1_000  # bans that wait for PostgreSQL
_MOST_TASKS: Final = 200  # strikes under way that nobody waits for

_log = logging.getLogger("gatekeeper.bans")

REASONS: Final[Mapping[Source, str]] = {
    Source.FAILURES: "too many failed logins",
    Source.SPRAY: "failed logins on many accounts",
    Source.OTP: "too many wrong codes",
    Source.LIMITS: "kept on sending over its limit",
    Source.HONEYPOT: "asked for a path that only attackers look for",
}


class BanNews(Protocol):
    """Tells the other gates of a ban that the database cannot take at the moment. Raises StoreUnavailable."""

    async def announce(self, ban: Ban) -> None: ...


@dataclass(frozen=True, slots=True)
class StrikeRules:
    """What counts and what it costs. A source without a threshold is not counted; ``spared`` is never banned here."""

    thresholds: Mapping[Source, Threshold]
    penalty: Penalty
    spared: Collection[Network] = field(default=())


class Strikes:
    """The service. ``on_ban`` hears of each ban made here, once it is in force."""

    def __init__(
        self,
        rules: StrikeRules,
        counter: StrikeStore,
        store: BanStore,
        news: BanNews,
        bans: BanList,
        audit: AuditLog,
        *,
        on_ban: Callable[[Ban], None] = lambda _ban: None,
        on_store_lost: Callable[[str, str], None] = lambda _store, _policy: None,
    ) -> None:
        self._rules = rules
        self._counter = counter
        self._local = LocalStrikes()
        self._store = store
        self._news = news
        self._bans = bans
        self._audit = audit
        self._on_ban = on_ban
        self._on_store_lost = on_store_lost
        self._unwritten: deque[Ban] = deque(maxlen=_MOST_UNWRITTEN)
        self._under_way: set[asyncio.Task[None]] = set()

    def reload(self, rules: StrikeRules) -> None:
        """Other rules, from the next offence on; what was counted stays."""
        self._rules = rules

    def counts(self, source: Source, address: Address) -> bool:
        """Whether such an offence by such an address counts at all."""
        return source in self._rules.thresholds and not self._spares(address)

    async def strike(self, source: Source, address: Address, now: float, *, what: str = "") -> None:
        """Count one offence; a ban that is due is in force on this worker when this returns.

        ``what`` tells the offence from others where some are the same one (an account in a password spray); not
        given, each counts. ``now`` in Unix seconds.
        """
        if not self.counts(source, address):
            return
        subject = of_offender(address)
        strike = Strike(source, subject.text, what or secrets.token_hex(8), self._rules.thresholds[source])
        await self._strike(strike, subject, now)

    async def _strike(self, strike: Strike, subject: Subject, now: float) -> None:
        penalty = self._rules.penalty
        try:
            level = await self._counter.strike(strike, penalty, now)
        except StoreUnavailable:
            self._on_store_lost("redis", "local")
            level = await self._local.strike(strike, penalty, now)
        if level:
            await self._put(Ban(subject, strike.source, now, now + penalty.length(level), REASONS[strike.source]), now)

    async def ban(self, source: Source, address: Address, now: float) -> None:
        """Ban this address at once, longer each time; not one that is spared."""
        if self._spares(address) or self._bans.of_connection(address, None, now) is not None:
            return
        subject = of_offender(address)
        within = self._rules.thresholds[source].within if source in self._rules.thresholds else 0.0
        strike = Strike(source, subject.text, secrets.token_hex(8), Threshold(1, within))
        await self._strike(strike, subject, now)

    async def failed_login(self, address: Address, account: str, now: float) -> None:
        """One more failed login of this address, on ``account``: an id, or what stands for an unknown e-mail."""
        await self.strike(Source.FAILURES, address, now)
        await self.strike(Source.SPRAY, address, now, what=account)

    def note(self, source: Source, address: Address, now: float) -> None:
        """``strike`` for callers that do not wait; where too many are under way already, it is not counted."""
        if self.counts(source, address) and len(self._under_way) < _MOST_TASKS:
            self._start(self.strike(source, address, now))

    async def write_late(self, now: float) -> None:
        """Write down the bans that the database could not take. Raises StoreUnavailable."""
        while self._unwritten:
            ban = self._unwritten[0]
            if ban.in_force(now):
                await self._write(ban, now)
            if self._unwritten and self._unwritten[0] is ban:
                self._unwritten.popleft()

    async def close(self) -> None:
        """Let go of what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _put(self, ban: Ban, now: float) -> None:
        self._bans.apply(entries_of(ban.subject, whole_end(ban.until)))
        facts = {"subject": ban.subject.text, "source": str(ban.source), "seconds": int((ban.until or now) - now)}
        _log.warning("banned", extra=facts)
        self._on_ban(ban)
        try:
            await self._write(ban, now)
        except StoreUnavailable:
            self._on_store_lost("postgres", "late")
            self._unwritten.append(ban)
            try:
                await self._news.announce(ban)
            except StoreUnavailable:
                self._on_store_lost("redis", "local")

    async def _write(self, ban: Ban, now: float) -> None:
        """Also a second time: the store keeps a ban that is as long."""
        await self._store.put([ban], now)
        await self._audit.record_change(Change(now, ban.actor, "ban.add", ban.subject.text, None, facts(ban)))

    def _spares(self, address: Address) -> bool:
        return self._bans.allows(address) or any(address in network for network in self._rules.spared)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
