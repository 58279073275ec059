"""Connections that outlive a request, and what ends them: their session, their user, their rule, a ban, a drain.

The surfaces ``add`` each tunnel and each streamed answer; ``gatekeeper.app`` runs ``run`` for the life of the
worker. Two things lead to a look at Redis: a published change (a hint, usually within milliseconds) and a timer
(new connections at once, all at their session's known end, and all every few seconds, since a hint may be lost).
While Redis cannot be asked, connections stay, each for ``grace`` seconds since it was last found good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.tokens.sessions import LiveRecord, Sessions
from policies.model import Address, Principal, Reason
from policies.rules import Rule, admits

PER_SESSION: Final = 100  # tunnels and event streams of one session on one worker
GRACE: Final = 60.0  # seconds that connections live on while nobody can say whether they may
TICK: Final = 0.5  # seconds between looks at what is due
SWEEP: Final = 5.0  # seconds between looks at everything
_BATCH: Final = 200  # records asked for at once
_NEVER: Final = float("inf")
_NOW: Final = float("-inf")

_log = logging.getLogger("gatekeeper.live")


class Ending(StrEnum):
    """Why the gate ends a connection, in words fit for a close frame."""

    SESSION = "session-ended"
    RULE = "rule-denied"
    BANNED = "banned"
    STORE = "store-unavailable"
    DRAIN = "going-away"


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed: a session, or a user; neither: anything may have, and nobody was told."""

    session: str | None = None
    user: str | None = None


class LiveKeys(Protocol):
    """API keys as this module needs them."""

    async def again(self, principal: Principal, now: float) -> Principal | Reason:
        """Whom the key of a principal stands for by now. Raises StoreUnavailable."""


class LiveState(Protocol):
    """The live records as this module needs them."""

    async def read(self, session: str, jti: str, user: str) -> LiveRecord:
        """Raises StoreUnavailable."""

    def changes(self) -> AsyncGenerator[Changed, None]:
        """Changes as they are published, for ever; ``Changed()`` whenever some may have been missed."""


@dataclass(eq=False, slots=True)
class LiveConnection:
    """One open connection. ``due`` (Unix seconds) is when it is looked at next, ``good`` (loop time) when last."""

    close: Callable[[Ending], None]
    principal: Principal | None
    rule: Rule | None
    endless: bool
    good: float
    due: float = _NOW
    ending: bool = False
    client: Address | None = None


class LiveConnections:
    """The registry of one worker."""

    def __init__(
        self,
        state: LiveState,
        sessions: Sessions,
        clock: Clock,
        keys: LiveKeys,
        *,
        per_session: int = PER_SESSION,
        grace: float = GRACE,
        sweep: float = SWEEP,
        banned: Callable[[Address | None, str | None, float], object | None] = lambda _address, _user, _now: None,
    ) -> None:
        self._state = state
        self._sessions = sessions
        self._clock = clock
        self._keys = keys
        self._per_session = per_session
        self._grace = grace
        self._sweep = sweep
        self._banned = banned
        self._all: set[LiveConnection] = set()
        self._by_session: dict[str, set[LiveConnection]] = {}
        self._by_user: dict[str, set[LiveConnection]] = {}
        self._soonest = _NEVER
        self._draining = False
        self._endless = 0
        self._drained: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._all)

    def has_room(self, principal: Principal | None) -> bool:
        """Whether this principal's session may open one more tunnel or event stream."""
        if principal is None:
            return True
        mine = self._by_session.get(principal.session, ())
        return len(mine) < self._per_session or sum(live.endless for live in mine) < self._per_session

    def add(
        self,
        close: Callable[[Ending], None],
        principal: Principal | None,
        rule: Rule | None,
        *,
        endless: bool,
        client: Address | None = None,
    ) -> LiveConnection:
        """An open connection; ``close`` is called at most once, and never from within this call.

        ``endless`` ones (tunnels, event streams) are closed when the worker drains, others may finish.
        """
        loop = asyncio.get_running_loop()
        live = LiveConnection(close, principal, rule, endless, good=loop.time(), client=client)
        self._all.add(live)
        self._endless += endless
        if principal is not None:
            self._by_session.setdefault(principal.session, set()).add(live)
            self._by_user.setdefault(principal.subject, set()).add(live)
            # What ended between the decision and now was published before anybody here could listen.
            self._soonest = _NOW
        if self._draining and endless:
            loop.call_soon(self._end, live, Ending.DRAIN)
        elif self._is_banned(live):  # since the decision
            loop.call_soon(self._end, live, Ending.BANNED)
        return live

    def remove(self, live: LiveConnection) -> None:
        """It has closed. Idempotent."""
        if live not in self._all:
            return
        self._all.remove(live)
        self._endless -= live.endless
        if live.principal is not None:
            _forget(self._by_session, live.principal.session, live)
            _forget(self._by_user, live.principal.subject, live)
        if self._drained is not None and not self._endless and not self._drained.done():
            self._drained.set_result(None)

    def held(self) -> dict[str, int]:
        """How many tunnels and event streams each session holds here."""
        counts = {session: sum(live.endless for live in lives) for session, lives in self._by_session.items()}
        return {session: count for session, count in counts.items() if session and count}

    async def run(self) -> None:
        """Follow the changes and the time, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._keep_time())

    async def check(self, now: float, *, everything: bool = False) -> None:
        """Look at what is due at ``now`` (Unix seconds), or at everything."""
        if everything or now >= self._soonest:
            due = [live for live in self._all if live.principal and (everything or live.due <= now)]
            self._soonest = min((live.due for live in self._all if live.due > now and live.principal), default=_NEVER)
            await self._review(due, now)

    async def changed(self, change: Changed, now: float) -> None:
        """Look at those whom a change may concern."""
        if change.session is not None:
            await self._review(self._by_session.get(change.session, ()), now)
        elif change.user is not None:
            await self._review(self._by_user.get(change.user, ()), now)
        else:
            await self.check(now, everything=True)

    def end_banned(self) -> None:
        """Bans have changed: close what they reach now."""
        for live in [live for live in self._all if not live.ending and self._is_banned(live)]:
            self._end(live, Ending.BANNED)

    async def drain(self, patience: float = 2.0) -> None:
        """Close tunnels and event streams, and wait ``patience`` seconds at most until they are gone."""
        self._draining = True
        if not self._endless:
            return
        self._drained = asyncio.get_running_loop().create_future()
        for live in [live for live in self._all if live.endless]:
            self._end(live, Ending.DRAIN)
        if self._endless:
            await asyncio.wait({self._drained}, timeout=patience)

    async def _follow(self) -> None:
        while True:
            async with contextlib.aclosing(self._state.changes()) as changes:
                async for change in changes:
                    await self._surely(self.changed(change, self._clock.now()))

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await asyncio.sleep(TICK)
            everything = loop.time() - swept >= self._sweep
            if everything:
                swept = loop.time()
            await self._surely(self.check(self._clock.now(), everything=everything))

    @staticmethod
    async def _surely(look: Awaitable[None]) -> None:
        try:
            await look
        except Exception:  # noqa: BLE001 - no fault may stop the only thing that ends what was revoked
            _log.exception("live connections could not be looked at")

    async def _review(self, lives: Iterable[LiveConnection], now: float) -> None:
        asked: dict[tuple[str, str, str], list[LiveConnection]] = {}
        looks: list[Callable[[], Awaitable[None]]] = []
        for live in lives:
            if live.principal is not None and not live.ending:
                who = live.principal
                if who.key is not None:
                    looks.append(partial(self._judge_key, live, who, now))
                else:
                    asked.setdefault((who.session, who.jti, who.subject), []).append(live)
        looks += [partial(self._judge, key, same, now) for key, same in asked.items()]
        for start in range(0, len(looks), _BATCH):
            await asyncio.gather(*(look() for look in looks[start : start + _BATCH]))

    async def _judge_key(self, live: LiveConnection, who: Principal, now: float) -> None:
        """One that an API key has opened."""
        try:
            found = await self._keys.again(who, now)
        except StoreUnavailable:
            self._unsure(live)
            return
        if isinstance(found, Reason):
            self._end(live, Ending.SESSION)
        elif live.rule is not None and admits(live.rule, found) is not None:
            self._end(live, Ending.RULE)
        else:
            live.good = asyncio.get_running_loop().time()
            live.due = _NEVER  # a sweep looks at it soon enough

    async def _judge(self, key: tuple[str, str, str], lives: list[LiveConnection], now: float) -> None:
        try:
            record = await self._state.read(*key)
        except StoreUnavailable:
            record = None
        for live in lives:
            if record is None:
                self._unsure(live)
                continue
            ending = self._ending(live, record, now)
            if ending is not None:
                self._end(live, ending)
            elif live.principal is not None:
                live.good = asyncio.get_running_loop().time()
                live.due = live.principal.until
                if record.session is not None:
                    live.due = min(record.session.expires_at, record.session.seen_at + self._sessions.idle_ttl)
                self._soonest = min(self._soonest, live.due)

    def _ending(self, live: LiveConnection, record: LiveRecord, now: float) -> Ending | None:
        """Why it may not go on; the expiry of a token is no reason, unless it is another issuer's: then it is all."""
        who = live.principal
        if who is None:
            return None
        if who.issuer is not None:
            return Ending.SESSION if record.blacklisted or now >= who.until else _by_rule(live, who)
        if record.user is None or self._sessions.admits(record, who.subject, now) is not None:
            return Ending.SESSION
        current = replace(
            who,
            email=record.user.email,
            email_verified=record.user.email_verified,
            roles=frozenset(record.user.roles),
        )
        return _by_rule(live, current)

    def _is_banned(self, live: LiveConnection) -> bool:
        who = live.principal
        return self._banned(live.client, who.subject if who else None, self._clock.now()) is not None

    def _unsure(self, live: LiveConnection) -> None:
        live.due = self._soonest = _NOW
        if asyncio.get_running_loop().time() - live.good > self._grace:
            self._end(live, Ending.STORE)

    def _end(self, live: LiveConnection, ending: Ending) -> None:
        if live.ending or live not in self._all:
            return
        live.ending = True
        who = live.principal
        facts = {"reason": str(ending), "user": who.subject if who else None, "session": who.session if who else None}
        _log.info("connection closed", extra=facts)
        live.close(ending)


def _by_rule(live: LiveConnection, who: Principal) -> Ending | None:
    return Ending.RULE if live.rule is not None and admits(live.rule, who) is not None else None


def _forget(shelf: dict[str, set[LiveConnection]], key: str, live: LiveConnection) -> None:
    lives = shelf.get(key)
    if lives is not None:
        lives.discard(live)
        if not lives:
            del shelf[key]
