"""Sessions in use: whether one goes on somewhere else, or in a browser that looks different, and what follows.

Looked at when tokens are refreshed or renewed, not on every request. ``tokens.binding`` compares a cookie with where
its session was opened; here a session is compared with its last use, by cookie or token, and what is usual for its
user is no change. What is odd becomes a row of method ``refresh`` in the login log. Called by the endpoint ``refresh``
and, for renewals in passing, by the authenticator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from gatekeeper.config.signals import Action
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.recording import Recording, Tried, in_words
from gatekeeper.identity.signals import SignalDesk, Verdict
from gatekeeper.tokens.durable import SessionRecords
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Sessions, TokenPair, UserState
from policies.anomalies import is_vague
from policies.familiar import Sighting
from policies.model import Reason

METHOD: Final = "refresh"
_MOST_TASKS: Final = 200  # looks under way that nobody waits for
_ENDS: Final = (Action.STEP_UP, Action.DENY, Action.BAN, Action.REVOKE)

_log = logging.getLogger("gatekeeper.identity")


class SessionSightings(Protocol):
    """Where sessions were used last. Each method is one atomic step and raises StoreUnavailable."""

    async def swap(self, session: str, seen: Sighting) -> Sighting | None:
        """Put in what is seen now; what was there before."""

    async def may_tell(self, session: str) -> bool:
        """Whether nobody has been told of this session for a day; from now on somebody has."""

    async def may_tell_of_move(self, user: str, every: float) -> bool:
        """Whether this user has been told of no vague move for ``every`` seconds; from now on they have."""


class SessionWatch:
    """The service. A store that is away raises nothing here: what could not be looked at is not odd."""

    def __init__(
        self,
        sightings: SessionSightings,
        signals: SignalDesk,
        recording: Recording,
        sessions: Sessions,
        records: SessionRecords,
        accounts: Accounts,
        notices: Notices,
        *,
        moves_told_every: float,
    ) -> None:
        self._moves_told_every = moves_told_every
        self._sightings = sightings
        self._signals = signals
        self._recording = recording
        self._sessions = sessions
        self._records = records
        self._accounts = accounts
        self._notices = notices
        self._under_way: set[asyncio.Task[None]] = set()

    async def began(self, session: str, user: str, caller: Caller, now: float) -> None:
        """A login opened it here."""
        await self._swap(session, self._recording.seen(user, caller, now))

    async def used(self, pair: TokenPair, caller: Caller, now: float) -> Reason | None:
        """A session is used again; why it may not go on, and then it has ended, or could not be ended."""
        session, user = pair.session.id, pair.user
        seen = self._recording.seen(user.id, caller, now)
        before = await self._swap(session, seen)
        if before is None or (before.place, before.fingerprint) == (seen.place, seen.fingerprint):
            return None
        verdict = await self._signals.judge_use(user.id, before, seen)
        reason = Reason.SESSION_ENDED if any(verdict.asks(action) for action in _ENDS) else None
        try:
            if reason is not None:
                await self._end(session, user.id, verdict, now)
            if verdict.findings:
                await self._follow_up(user, session, verdict, caller, now, reason)
        except StoreUnavailable as fault:
            _log.warning("an odd use of a session could not be followed up: %s", fault, extra={"session": session})
            return None if reason is None else Reason.STORE_UNAVAILABLE
        if reason is None:
            await self._signals.learn_use(user.id, seen)
        return reason

    async def reused(self, claim: RefreshClaim, caller: Caller, now: float) -> None:
        """A refresh token came a second time: its session has ended, and its owner is told (``Sessions.on_theft``)."""
        try:
            record = await self._records.find(claim.session)
            account = await self._accounts.find(record.user_id) if record is not None else None
            if account is None:
                return
            verdict = self._signals.judge_reuse({"generation": claim.generation})
            user = account.state
            if verdict.asks(Action.REVOKE):
                await self._accounts.log_out(user.id, now)
            tried = Tried(user.email, user.id, METHOD)
            await self._recording.used(tried, claim.session, verdict, caller, now, reason=Reason.REFRESH_REUSED)
        except StoreUnavailable as fault:
            _log.warning("a stolen token could not be written down: %s", fault, extra={"session": claim.session})

    def note(self, claim: RefreshClaim, outcome: TokenPair | Reason, caller: Caller, now: float) -> None:
        """A renewal, for whoever does not wait: what ends a session is in force from its next request on."""
        if len(self._under_way) >= _MOST_TASKS:
            return
        if isinstance(outcome, TokenPair):
            self._start(self._noted(outcome, caller, now))
        elif outcome is Reason.REFRESH_REUSED:
            self._start(self.reused(claim, caller, now))

    async def close(self) -> None:
        """Let go of what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _noted(self, pair: TokenPair, caller: Caller, now: float) -> None:
        await self.used(pair, caller, now)

    async def _swap(self, session: str, seen: Sighting) -> Sighting | None:
        try:
            return await self._sightings.swap(session, seen)
        except StoreUnavailable:
            return None

    async def _follow_up(
        self, user: UserState, session: str, verdict: Verdict, caller: Caller, now: float, reason: Reason | None
    ) -> None:
        await self._recording.used(Tried(user.email, user.id, METHOD), session, verdict, caller, now, reason=reason)
        if verdict.action is not Action.LOG and await self._may_tell(user.id, session, verdict, reason):
            await self._notices.session_moved(user, in_words(verdict), caller.origin(), now)

    async def _may_tell(self, user: str, session: str, verdict: Verdict, reason: Reason | None) -> bool:
        """Vague moves that end nothing are told of seldom, and those left out do not use up the session's one mail a
        day: a theft of the same day needs it.
        """
        vague = reason is None and is_vague(verdict.findings)
        if vague and not await self._sightings.may_tell_of_move(user, self._moves_told_every):
            return False
        return await self._sightings.may_tell(session)

    async def _end(self, session: str, user: str, verdict: Verdict, now: float) -> None:
        if verdict.asks(Action.REVOKE):
            await self._accounts.log_out(user, now)
        else:
            await self._sessions.end([session], Reason.BINDING_MISMATCH, now)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
