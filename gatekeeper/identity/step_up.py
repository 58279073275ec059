"""Step-up (RFC 9470): whoever has a session proves anew to be there, and gets a fresh access token of it.

Called by the endpoints and the step-up page. A password renews the login's age; a second factor also makes the
session, which began with another one, one of two factors.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gatekeeper.errors import Problem
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.identity.factors.checks import CodeShown, FactorChecks, FactorShown
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.identity.second_step import CodeStrikes
from gatekeeper.tokens.sessions import Sessions, TokenPair
from policies.bans import Source
from policies.model import Principal, Reason

FRESH: Final = 300.0  # seconds; changes of factors, and of anything as dear, want a login or step-up this young
LIFE: Final = 300.0  # seconds to show a passkey
PASSWORD: Final = "password"


class StepUps:
    """The service; ``required_roles`` must have a second factor."""

    def __init__(
        self,
        login: PasswordLogin,
        sessions: Sessions,
        checks: FactorChecks,
        challenges: Challenges,
        strikes: CodeStrikes,
        *,
        required_roles: Collection[str],
    ) -> None:
        self._login = login
        self._sessions = sessions
        self._checks = checks
        self._challenges = challenges
        self._strikes = strikes
        self._required_roles = frozenset(required_roles)

    async def methods(self, who: Principal, now: float, *, two_factors: bool) -> tuple[str, ...]:
        """What may be shown; without a password where only two factors will do. Raises StoreUnavailable."""
        factors = tuple(str(method) for method in await self._factors(who, now))
        return factors if two_factors else (PASSWORD, *factors)

    async def begin(self, who: Principal, now: float) -> Challenge:
        """A challenge for a passkey, or for a mailed code, of this user and session. Raises StoreUnavailable."""
        return await self._challenges.open(
            Purpose.STEP_UP,
            user=who.subject,
            methods=tuple(str(method) for method in await self._factors(who, now)),
            facts={"session": who.session},
            life=LIFE,
            now=now,
        )

    async def by_password(self, who: Principal, password: str, caller: Caller, now: float) -> TokenPair:
        """Raises Problem (401 invalid-credentials or session-ended, 429, 503), StoreUnavailable."""
        await self._login.confirm(who.subject, password, caller, now)
        return await self._fresh(who, ("pwd",), caller, now, two_factors=False)

    async def by_factor(
        self, who: Principal, shown: FactorShown, caller: Caller, now: float, *, challenge: str | None = None
    ) -> TokenPair:
        """By a passkey or a mailed code with its ``challenge``, or by an app's or recovery code without one.

        Raises Problem (401 mfa-invalid or session-ended, 429), StoreUnavailable.
        """
        if shown.method not in await self._factors(who, now):
            raise Problem(401, Reason.MFA_INVALID, "That is no second factor of this account.")
        if challenge is not None:
            found = await self._challenges.find(challenge)
            mine = found is not None and (found.user, found.facts.get("session")) == (who.subject, who.session)
            amr = None
            if found is not None and mine:
                amr = await self._checks.answer(found, Purpose.STEP_UP, who.subject, shown, now)
        else:
            amr = await self._checks.check_code(who.subject, shown, now) if isinstance(shown, CodeShown) else None
        if amr is None:
            await self._strikes.strike(Source.OTP, caller.address, now)
            raise Problem(401, Reason.MFA_INVALID, "That is not right, was used before, or took too long.")
        return await self._fresh(who, (*amr, "mfa"), caller, now, two_factors=True)

    async def _factors(self, who: Principal, now: float) -> tuple[Method, ...]:
        """What would do; who must add a factor first cannot get around it by a mailed code."""
        if who.must_enrol:
            return await self._checks.methods_of(who.subject, now)
        return await self._checks.step_up_methods(who.subject, now)

    async def require_fresh(self, who: Principal, now: float) -> None:
        """For what a stolen session must not do. Raises Problem (401 step-up-required or mfa-required) for what is
        lacking, and StoreUnavailable.
        """
        lacking = await self.lacking(who, now)
        if lacking is not None:
            raise lacking

    async def lacking(self, who: Principal, now: float) -> Problem | None:
        """What stands between a session and such a change: it wants a login or step-up of the last minutes, by a
        second factor of whoever has one. Raises StoreUnavailable.
        """
        two_factors = bool(await self._checks.methods_of(who.subject, now))
        since = who.mfa_time if two_factors else who.auth_time
        if now - since <= FRESH and (who.acr == "2fa" or not two_factors):
            return None
        reason = Reason.MFA_REQUIRED if two_factors and who.acr != "2fa" else Reason.STEP_UP_REQUIRED
        return insufficient(reason, two_factors=two_factors, max_age=int(FRESH))

    def require_factors(self, who: Principal) -> None:
        """For places that want two factors of whoever's role needs them. Raises Problem (401 mfa-required)."""
        if who.must_enrol or (who.acr != "2fa" and not self._required_roles.isdisjoint(who.roles)):
            raise insufficient(Reason.MFA_REQUIRED, two_factors=True)

    async def _fresh(
        self, who: Principal, amr: tuple[str, ...], caller: Caller, now: float, *, two_factors: bool
    ) -> TokenPair:
        pair = await self._sessions.step_up(
            who.session, amr=amr, two_factors=two_factors, now=now, origin=caller.origin()
        )
        if isinstance(pair, Reason):
            raise Problem(401, pair)
        return pair


def insufficient(reason: Reason, *, two_factors: bool, max_age: int | None = None) -> Problem:
    """401 with the members from which ``answers`` makes the challenge of RFC 9470."""
    age = {} if max_age is None else {"max_age": max_age}
    return Problem(401, reason, "", **age, acr_values="2fa" if two_factors else "1fa 2fa")
