"""From a first proof (password, mailed code, passkey) to a session: the only way in for every kind of login.

``admit`` opens the session, or asks for a second factor first; ``finish`` takes that. Each answered attempt is one
row, written before it is answered. Called by ``login``, the endpoints and the pages.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from gatekeeper.config.signals import Action
from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.identity.factors.checks import FactorChecks, FactorShown
from gatekeeper.identity.factors.devices import Devices
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.password_changes import PasswordChanges
from gatekeeper.identity.recording import Recording, Tried
from gatekeeper.identity.session_watch import SessionWatch
from gatekeeper.identity.signals import NOTHING, Verdict
from gatekeeper.journal.attempts import Result
from gatekeeper.tokens.sessions import Sessions, TokenPair, UserState
from policies.ban_list import BanList
from policies.bans import Banned, Source
from policies.model import Address, Reason

PASSWORD: Final = "password"  # the method of whoever has shown one
LIFE: Final = 300.0  # seconds to show the second factor
_OVER: Final = "This login took too long, or was tried too often; begin again."
UNUSUAL: Final = "This sign-in is too unusual to be let in; the owner of the account has been told."
_WRONG: Final = "That is not right, was used before, or took too long."


@dataclass(frozen=True, slots=True)
class FirstStep:
    """A first proof that was right: ``method`` is what the log calls it, ``amr`` what tokens do (RFC 8176).

    Without a method it is no login and no row: whoever has just made an account is let in. ``must_change``: the
    password that was shown opens nothing but the page for another.
    """

    user: UserState
    email: str
    method: str | None
    amr: tuple[str, ...]
    two_factors: bool = False
    must_change: bool = False


class CodeStrikes(Protocol):
    """Counts wrong codes towards a ban (``bans.strikes.Strikes``). Never raises for a store."""

    async def strike(self, source: Source, address: Address, now: float) -> None: ...


class SecondStep:
    """The service; ``required_roles`` must have a second factor, ``mails_codes``: codes reach their users."""

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        checks: FactorChecks,
        devices: Devices,
        challenges: Challenges,
        recording: Recording,
        watch: SessionWatch,
        bans: BanList,
        strikes: CodeStrikes,
        changes: PasswordChanges,
        *,
        required_roles: Collection[str],
        mails_codes: bool,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._checks = checks
        self._devices = devices
        self._challenges = challenges
        self._recording = recording
        self._watch = watch
        self._bans = bans
        self._strikes = strikes
        self._changes = changes
        self._required_roles = frozenset(required_roles)
        self._mails_codes = mails_codes

    def required(self, roles: Collection[str]) -> bool:
        """Whether these roles need two factors."""
        return not self._required_roles.isdisjoint(roles)

    async def admit(self, first: FirstStep, caller: Caller, now: float) -> TokenPair:
        """A session, for whoever needs no second factor or has to add one first (``must_enrol``).

        Raises Problem: 401 mfa-required with ``challenge``, ``methods`` and ``expires_in``, 401
        password-change-required with ``token`` and ``expires_in``, 403 banned; StoreUnavailable.
        """
        await self._refuse_banned(first, caller, now)
        verdict = await self._judged(first, caller, now)
        if first.two_factors:
            return await self._open(first, verdict, caller, now)
        required, odd = self.required(first.user.roles), verdict.asks(Action.STEP_UP)
        methods = await self._checks.methods_of(first.user.id, now)
        sure = required or odd  # a remembered device will not do
        if methods and (sure or not await self._devices.recognises(caller.device, first.user.id, now)):
            await self._ask(first, methods, verdict, caller, now)
        if odd and not methods and self._reached_by_mail(first):
            await self._ask(first, await self._checks.step_up_methods(first.user.id, now), verdict, caller, now)
        return await self._open(first, verdict, caller, now, must_enrol=required and not methods)

    async def finish(self, challenge: str, shown: FactorShown, caller: Caller, now: float) -> TokenPair:
        """The session that ``admit`` promised.

        Raises Problem (401 mfa-invalid or password-change-required, 403 banned, 429), StoreUnavailable.
        """
        async with self._recording.attempt(Tried("", None, str(shown.method), shown.method), caller, now):
            return await self._finish(challenge, shown, caller, now)

    async def _finish(self, challenge: str, shown: FactorShown, caller: Caller, now: float) -> TokenPair:
        found = await self._challenges.find(challenge)
        account = None
        if found is not None and found.purpose is Purpose.MFA and found.user is not None:
            account = await self._accounts.find(found.user)
        if found is None or account is None:
            raise Problem(401, Reason.MFA_INVALID, _OVER)
        user = account.state
        first = FirstStep(user, found.facts.get("email", ""), found.facts.get("method", ""), found.amr)
        factor = shown.method
        self._recording.knows(_tried(first, factor))
        await self._refuse_banned(first, caller, now)
        try:
            current = not user.locked and found.facts.get("epoch") == str(user.epoch)
            amr = await self._checks.answer(found, Purpose.MFA, user.id, shown, now) if current else None
        except Problem as refusal:
            await self._record(first, Result.BLOCKED, refusal.reason, caller, now, factor=factor)
            raise
        if amr is None:
            await self._record(first, Result.FAILURE, Reason.MFA_INVALID, caller, now, factor=factor)
            await self._strikes.strike(Source.OTP, caller.address, now)
            raise Problem(401, Reason.MFA_INVALID, _WRONG)
        # A mailed code that was asked for because the login was odd is no factor that a role may ask for.
        must_enrol = self.required(user.roles) and not await self._checks.methods_of(user.id, now)
        both = FirstStep(
            user,
            first.email,
            first.method,
            _joined(first.amr, amr),
            two_factors=not must_enrol,
            must_change=account.must_change and first.method == PASSWORD,
        )
        verdict = await self._judged(both, caller, now)
        return await self._open(both, verdict, caller, now, must_enrol=must_enrol, factor=factor)

    async def pending(self, challenge: str, now: float) -> Challenge | None:
        """The login that waits for a second factor; None where it is over. Costs no try. Raises StoreUnavailable."""
        found = await self._challenges.find(challenge)
        if found is None or found.purpose is not Purpose.MFA or found.user is None or now >= found.expires_at:
            return None
        return found

    async def remember(self, user: str, caller: Caller, now: float) -> tuple[str, float] | None:
        """Value and life (seconds) of a cookie for this device, which then needs no second factor for a while; None
        where none are remembered. Raises StoreUnavailable.
        """
        value = await self._devices.remember(user, caller.user_agent, now)
        return None if value is None or self._devices.life is None else (value, self._devices.life)

    async def _judged(self, first: FirstStep, caller: Caller, now: float) -> Verdict:
        """What is odd about a login that is right. Raises Problem (403) where it is refused for that."""
        if first.method is None:
            return NOTHING
        verdict = await self._recording.judge(first.user.id, caller, now)
        if any(verdict.asks(action) for action in (Action.DENY, Action.BAN, Action.REVOKE)):
            await self._recording.turned_away(_tried(first), first.user, verdict, caller, now)
            raise Problem(403, Reason.RULE_DENIED, UNUSUAL)
        return verdict

    def _reached_by_mail(self, first: FirstStep) -> bool:
        """Whether a mailed code can be asked of somebody without a second factor, and says more than the first step."""
        return (
            self._mails_codes
            and first.user.email_verified
            and "otp" not in first.amr
            and self._checks.takes(Method.OTP)
        )

    async def _refuse_banned(self, first: FirstStep, caller: Caller, now: float) -> None:
        banned = self._bans.of_user(first.user.id, now)
        if banned is not None:
            await self._record(first, Result.BLOCKED, Reason.BANNED, caller, now)
            raise refused_for(banned, now)

    async def _ask(
        self, first: FirstStep, methods: tuple[Method, ...], verdict: Verdict, caller: Caller, now: float
    ) -> NoReturn:
        offered = tuple(str(method) for method in methods if method != Method.OTP or "otp" not in first.amr)
        challenge = await self._challenges.open(
            Purpose.MFA,
            user=first.user.id,
            methods=offered,
            amr=first.amr,
            facts={"email": first.email, "method": first.method or "", "epoch": str(first.user.epoch)},
            life=LIFE,
            now=now,
        )
        await self._record(first, Result.FAILURE, Reason.MFA_REQUIRED, caller, now, verdict=verdict)
        raise Problem(
            401,
            Reason.MFA_REQUIRED,
            "This account needs a second factor.",
            challenge=challenge.id,
            methods=list(offered),
            expires_in=int(LIFE),
        )

    async def _open(
        self,
        first: FirstStep,
        verdict: Verdict,
        caller: Caller,
        now: float,
        *,
        must_enrol: bool = False,
        factor: Method | None = None,
    ) -> TokenPair:
        if first.must_change:
            reason = Reason.PASSWORD_CHANGE_REQUIRED
            await self._record(first, Result.FAILURE, reason, caller, now, factor=factor, verdict=verdict)
            await self._changes.demand(first.user, now)
        pair = await self._sessions.open(
            first.user,
            caller.origin(),
            amr=first.amr,
            acr="2fa" if first.two_factors else "1fa",
            now=now,
            must_enrol=must_enrol,
        )
        await self._watch.began(pair.session.id, first.user.id, caller, now)
        if first.method is not None:
            await self._recording.welcomed(_tried(first, factor), first.user, pair.session.id, verdict, caller, now)
        return pair

    async def _record(
        self,
        first: FirstStep,
        result: Result,
        reason: Reason | None,
        caller: Caller,
        now: float,
        *,
        factor: Method | None = None,
        verdict: Verdict | None = None,
    ) -> None:
        if first.method is not None:
            tried = _tried(first, factor)
            await self._recording.failed(tried, reason, caller, now, result=result, verdict=verdict)


def _tried(first: FirstStep, factor: Method | None = None) -> Tried:
    return Tried(first.email, first.user.id, first.method or "", factor)


def refused_for(banned: Banned, now: float) -> Problem:
    """What somebody with a banned account is told."""
    left = banned.retry_after(now)
    extra = {} if left is None else {"retry_after": int(left) + 1}
    return Problem(403, Reason.BANNED, "This account may not sign in at the moment.", **extra)


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Both steps' methods, each once, and that they were several (RFC 8176 2, ``mfa``)."""
    return tuple(dict.fromkeys((*first, *second, "mfa")))
