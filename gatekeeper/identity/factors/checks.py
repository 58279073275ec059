"""Is this second factor right? The one place that asks, for logins and for step-ups, under one limit a user.

The limit counts what was shown wrong by account, whatever the challenge: whoever knows a password may open any number
of challenges, and still guesses no faster (security 19).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.identity.factors.records import Factors, FactorStore, Method
from gatekeeper.identity.factors.recovery_codes import RecoveryCodes
from gatekeeper.identity.factors.totp import Totp
from gatekeeper.identity.limits import AttemptCounter, Rate, take_or_refuse
from gatekeeper.identity.tallies import SECOND_FACTOR
from policies.model import Reason

if TYPE_CHECKING:  # fido2 comes with an extra
    from gatekeeper.identity.factors.passkeys import Passkeys


@dataclass(frozen=True, slots=True)
class CodeShown:
    """A typed code: of an app, out of a mail, or a recovery code."""

    method: Method
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyShown:
    """What a browser answered to the options of a challenge (AuthenticationResponseJSON)."""

    response: Mapping[str, Any] = field(repr=False)

    @property
    def method(self) -> Method:
        return Method.PASSKEY


FactorShown = CodeShown | PasskeyShown


class FactorChecks:
    """Knows what a user may show, and whether it is right. ``methods`` are those of the configuration."""

    def __init__(
        self,
        store: FactorStore,
        totp: Totp,
        recovery_codes: RecoveryCodes,
        passkeys: Passkeys | None,
        challenges: Challenges,
        counter: AttemptCounter,
        *,
        methods: Collection[str],
        per_account: Rate,
    ) -> None:
        self._store = store
        self._totp = totp
        self._recovery_codes = recovery_codes
        self._passkeys = passkeys
        self._challenges = challenges
        self._counter = counter
        self._methods = frozenset(methods)
        self._per_account = per_account

    def takes(self, method: Method) -> bool:
        """Whether the configuration, and what is installed, lets it count."""
        return method in self._methods and (method is not Method.PASSKEY or self._passkeys is not None)

    def enrolled(self, factors: Factors) -> tuple[Method, ...]:
        """The second factors in use: added by the user and taken here. Empty: there is none."""
        has = {Method.TOTP: factors.totp_since is not None, Method.PASSKEY: bool(factors.passkeys)}
        return tuple(method for method, there in has.items() if there and self.takes(method))

    async def methods_of(self, user: str, now: float) -> tuple[Method, ...]:
        """What the user may show beside a password; empty where no second factor is in use."""
        factors = await self._store.factors_of(user, now)
        enrolled = self.enrolled(factors)
        if not enrolled:
            return ()
        return (*enrolled, *self._mailed(), *((Method.RECOVERY_CODE,) if factors.recovery_codes_left else ()))

    async def step_up_methods(self, user: str, now: float) -> tuple[Method, ...]:
        """What would raise a session to two factors: a mailed code too where nothing was added."""
        return await self.methods_of(user, now) or self._mailed()

    async def take_try(self, user: str) -> None:
        """Count before anything is compared. Raises Problem (429), StoreUnavailable."""
        await take_or_refuse(self._counter, self._per_account, *SECOND_FACTOR.key(user))

    async def clear_tries(self, user: str) -> None:
        """It was right."""
        await self._counter.clear(self._per_account, *SECOND_FACTOR.key(user))

    def _mailed(self) -> tuple[Method, ...]:
        return (Method.OTP,) if self.takes(Method.OTP) else ()

    async def answer(
        self, challenge: Challenge, purpose: Purpose, user: str, shown: FactorShown, now: float
    ) -> tuple[str, ...] | None:
        """The ``amr`` values of what answers a challenge, which is spent by it; None where it is wrong.

        Raises Problem (429), StoreUnavailable.
        """
        await self.take_try(user)
        amr = await self._answer(challenge, purpose, user, shown, now)
        if amr is not None:
            await self.clear_tries(user)
        return amr

    async def _answer(
        self, challenge: Challenge, purpose: Purpose, user: str, shown: FactorShown, now: float
    ) -> tuple[str, ...] | None:
        if shown.method not in challenge.methods:
            return None
        if isinstance(shown, CodeShown) and shown.method is Method.OTP:
            answered = await self._challenges.answer_code(challenge.id, shown.code, purpose, now=now)
            return None if isinstance(answered, Reason) or not self.takes(Method.OTP) else ("otp",)
        if isinstance(await self._challenges.take_try(challenge.id, purpose, now=now), Reason):
            return None
        if isinstance(shown, PasskeyShown):
            amr = await self._passkey(challenge, user, shown, now)
        else:
            amr = await self._code(user, shown, now)
        return amr if amr is not None and await self._challenges.spend(challenge) else None

    async def check_code(self, user: str, shown: CodeShown, now: float) -> tuple[str, ...] | None:
        """The same for an app's or a recovery code without a challenge, of somebody who is signed in."""
        await self.take_try(user)
        amr = await self._code(user, shown, now)
        if amr is not None:
            await self.clear_tries(user)
        return amr

    async def _code(self, user: str, shown: CodeShown, now: float) -> tuple[str, ...] | None:
        match shown.method:
            case Method.TOTP:
                right = self.takes(Method.TOTP) and await self._totp.verify(user, shown.code, now)
            case Method.RECOVERY_CODE:
                right = await self._recovery_codes.verify(user, shown.code, now)
            case _:
                right = False
        return ("otp",) if right else None

    async def _passkey(
        self, challenge: Challenge, user: str, shown: PasskeyShown, now: float
    ) -> tuple[str, ...] | None:
        if self._passkeys is None or not self.takes(Method.PASSKEY):
            return None
        found = await self._passkeys.verify(challenge.id, user, shown.response, now)
        return None if found is None else found.amr
