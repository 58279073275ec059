"""The rows of the login log: every answered attempt, with what was odd about it, and what follows from that.

Called by every way to sign in: ``judge`` before somebody is let in, ``welcomed`` once they are, ``failed`` for whoever
is not. Each attempt is written before it is answered.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.config.signals import Action
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.signals import NOTHING, Failure, SignalDesk, Verdict
from gatekeeper.journal.attempts import Attempt, AttemptLog, Result
from gatekeeper.tokens.devices import DeviceTokens
from gatekeeper.tokens.sessions import UserState
from geo.device import find_device
from policies.anomalies import Signal
from policies.bans import Source
from policies.familiar import Sighting
from policies.model import Address, Reason

_log = logging.getLogger("gatekeeper.identity")

BAN_SOURCE: Final = {Signal.PASSWORD_SPRAY: Source.SPRAY, Signal.OTP_GUESSING: Source.OTP}
_CODES: Final = frozenset({Reason.OTP_INVALID, Reason.MFA_INVALID})
_BROKEN_OFF: Final = frozenset({429, 503})  # answers that say nothing of what was shown
#: The first proof was right.
_NO_FAILURES: Final = frozenset({Reason.MFA_REQUIRED, Reason.EMAIL_UNVERIFIED, Reason.PASSWORD_CHANGE_REQUIRED})

IN_WORDS: Final = {
    Signal.NEW_DEVICE: "a browser that the account was not used with before",
    Signal.NEW_ADDRESS: "an address that the account was not used from before",
    Signal.NEW_NETWORK: "a network that the account was not used from before",
    Signal.NEW_COUNTRY: "a country that the account was not used from before",
    Signal.IMPOSSIBLE_TRAVEL: "nobody travels so fast from where the account was used last",
    Signal.DORMANT_ACCOUNT: "the account had not been used for a long time",
    Signal.PARALLEL_COUNTRIES: "the account was in use in another country at the same time",
    Signal.BRUTE_FORCE: "many wrong passwords had been tried shortly before",
    Signal.OTP_GUESSING: "many wrong codes had been tried shortly before",
    Signal.ODD_HOUR: "an hour at which the account is hardly ever used",
    Signal.LISTED_NETWORK: "a network that often hides who is there",
    Signal.PASSWORD_SPRAY: "the same address had failed on other accounts",
    Signal.CREDENTIAL_STUFFING: "others like it had failed on many accounts",
    Signal.ADDRESS_CHANGED: "an address that the account was not used from before",
    Signal.FINGERPRINT_MISMATCH: "the browser looks like another one",
}
"""What owners are told, by signal."""


def in_words(verdict: Verdict) -> str:
    """What was odd enough to be told."""
    told = [one.signal for one in verdict.findings if verdict.actions[one.signal] is not Action.LOG]
    return "; ".join(IN_WORDS[signal] for signal in told if signal in IN_WORDS)


class AddressBans(Protocol):
    """Bans an address at once (``bans.strikes.Strikes``). Never raises for a store."""

    async def ban(self, source: Source, address: Address, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt: the typed e-mail, whose account that is (None: nobody's), by which method, with which factor."""

    email: str
    user: str | None
    method: str
    factor: Method | None = None


@dataclass(slots=True)
class _UnderWay:
    """An attempt that has begun: what is known of it by now, and whether it has a row."""

    tried: Tried
    written: bool = False


_under_way: ContextVar[_UnderWay | None] = ContextVar("under_way", default=None)


class Recording:
    """The service. ``key_of`` makes of an e-mail that nobody has what is counted under."""

    def __init__(
        self,
        log: AttemptLog,
        signals: SignalDesk,
        devices: DeviceTokens,
        bans: AddressBans,
        accounts: Accounts,
        notices: Notices,
        clock: Clock,
        key_of: Callable[[str], str],
    ) -> None:
        self._log = log
        self._signals = signals
        self._devices = devices
        self._bans = bans
        self._accounts = accounts
        self._notices = notices
        self._clock = clock
        self._key_of = key_of

    @asynccontextmanager
    async def attempt(self, tried: Tried, caller: Caller, now: float) -> AsyncIterator[None]:
        """Around an attempt, from the first look to its answer: one that is broken off without a row, by an outage or
        because there is too much to do, gets one all the same. Within another it is a part of that one. Raises what
        the block raises, or StoreUnavailable.
        """
        if _under_way.get() is not None:
            self.knows(tried)
            yield
            return
        attempt = _UnderWay(tried)
        before = _under_way.set(attempt)
        try:
            yield
        except (StoreUnavailable, Problem) as fault:
            reason = fault.reason if isinstance(fault, Problem) else Reason.STORE_UNAVAILABLE
            broken_off = isinstance(fault, StoreUnavailable) or fault.status in _BROKEN_OFF
            if broken_off and not attempt.written:
                await self.failed(attempt.tried, reason, caller, now, result=Result.BLOCKED, verdict=NOTHING)
            raise
        finally:
            _under_way.reset(before)

    @staticmethod
    def knows(tried: Tried) -> None:
        """More is known by now of the attempt under way, if there is one."""
        if attempt := _under_way.get():
            attempt.tried = tried

    async def judge(self, user: str, caller: Caller, now: float) -> Verdict:
        """What is odd about somebody who has shown a right first proof. Raises for no store."""
        return await self._signals.judge(user, self.seen(user, caller, now))

    async def failed(
        self,
        tried: Tried,
        reason: Reason | None,
        caller: Caller,
        now: float,
        *,
        result: Result = Result.FAILURE,
        verdict: Verdict | None = None,
    ) -> None:
        """Write down that somebody was not let in; ``verdict`` where they had been judged. Raises StoreUnavailable."""
        attempt = self._attempt(tried, result, reason, caller, now)
        if verdict is None and reason not in _NO_FAILURES:
            account = tried.user or self._key_of(_folded(tried.email))
            seen = self.seen(account, caller, now)
            failure = Failure(str(attempt.id), now, seen.place, account, seen.fingerprint, reason in _CODES)
            verdict = await self._signals.judge_failure(failure, seen)
        verdict = verdict or NOTHING
        await self._write(_with(attempt, verdict))
        await self._ban(verdict, caller, now)

    async def turned_away(self, tried: Tried, user: UserState, verdict: Verdict, caller: Caller, now: float) -> None:
        """Write down that a right proof was refused for what was odd, and do what else follows."""
        await self.failed(tried, Reason.RULE_DENIED, caller, now, result=Result.BLOCKED, verdict=verdict)
        if verdict.asks(Action.REVOKE):
            await self._accounts.log_out(user.id, now)
        await self._tell(user, verdict, caller, now)

    async def welcomed(
        self, tried: Tried, user: UserState, session: str, verdict: Verdict, caller: Caller, now: float
    ) -> None:
        """Write down that somebody was let in; their owner is told if it was odd. Raises StoreUnavailable."""
        attempt = self._attempt(tried, Result.SUCCESS, None, caller, now, session=session)
        await self._write(_with(attempt, verdict))
        await self._signals.learn(user.id, self.seen(user.id, caller, now))
        await self._tell(user, verdict, caller, now)

    async def used(
        self, tried: Tried, session: str, verdict: Verdict, caller: Caller, now: float, *, reason: Reason | None
    ) -> None:
        """Write down that a session goes on oddly, or (``reason``) does not. Raises StoreUnavailable."""
        result = Result.SUCCESS if reason is None else Result.BLOCKED
        attempt = self._attempt(tried, result, reason, caller, now, session=session)
        await self._write(_with(attempt, verdict))
        await self._ban(verdict, caller, now)

    async def _write(self, attempt: Attempt) -> None:
        await self._log.record_attempt(attempt)
        if under_way := _under_way.get():
            under_way.written = True

    async def _tell(self, user: UserState, verdict: Verdict, caller: Caller, now: float) -> None:
        """The attempt stands whether or not its owner can be told."""
        if verdict.action is None or verdict.action is Action.LOG:
            return
        try:
            await self._notices.signed_in(user, in_words(verdict), caller.origin(), now)
        except StoreUnavailable as fault:
            _log.warning("the owner could not be told of a sign-in: %s", fault, extra={"user": user.id})

    async def _ban(self, verdict: Verdict, caller: Caller, now: float) -> None:
        for one in verdict.findings:
            if not verdict.report_only and verdict.actions[one.signal] is Action.BAN:
                await self._bans.ban(BAN_SOURCE.get(one.signal, Source.FAILURES), caller.address, now)
                return

    def seen(self, account: str, caller: Caller, now: float) -> Sighting:
        """A caller as the signals see it; ``account`` is whose browser's cookie would count."""
        place = caller.place
        return Sighting(
            now,
            caller.address,
            country=caller.country,
            city=place.city if place else None,
            latitude=place.latitude if place else None,
            longitude=place.longitude if place else None,
            accuracy_km=place.accuracy_km if place else None,
            asn=place.asn if place else None,
            as_org=place.as_org if place else None,
            device=self._devices.recognise(caller.known, account),
            fingerprint=caller.fingerprint,
        )

    def _attempt(
        self,
        tried: Tried,
        result: Result,
        reason: Reason | None,
        caller: Caller,
        now: float,
        *,
        session: str | None = None,
    ) -> Attempt:
        place, device = caller.place, find_device(caller.user_agent)
        return Attempt(
            time=now,
            email=tried.email,
            user_id=tried.user,
            result=result,
            reason=reason,
            method=tried.method,
            address=caller.address,
            country=caller.country,
            user_agent=caller.user_agent,
            session=session,
            request_id=caller.request_id,
            factor=tried.factor,
            region=place.region if place else None,
            city=place.city if place else None,
            latitude=place.latitude if place else None,
            longitude=place.longitude if place else None,
            accuracy_km=place.accuracy_km if place else None,
            asn=place.asn if place else None,
            as_org=place.as_org if place else None,
            browser=device.browser,
            browser_version=device.browser_version,
            os=device.os,
            os_version=device.os_version,
            device_kind=device.kind,
            device_id=self._devices.recognise(caller.known, tried.user) if tried.user else None,
            fingerprint=caller.fingerprint,
            latency_ms=round(1000 * max(self._clock.now() - now, 0.0), 1),
        )


def _with(attempt: Attempt, verdict: Verdict) -> Attempt:
    return replace(attempt, **verdict.columns())


def _folded(email: str) -> str:
    try:
        return canonical_email(email)
    except InvalidEmail:
        return email.casefold()
