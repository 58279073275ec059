"""Login with a passkey alone: a discoverable credential says who it is, user verification makes it two factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenges, Purpose
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.limits import AttemptCounter, Rate, take_or_refuse
from gatekeeper.identity.recording import Recording, Tried
from gatekeeper.identity.second_step import CodeStrikes, FirstStep, SecondStep
from gatekeeper.identity.tallies import LOGIN_ADDRESS, PASSKEY
from gatekeeper.inbound import rate_key
from gatekeeper.tokens.sessions import TokenPair, UserState
from policies.bans import Source
from policies.model import Reason

if TYPE_CHECKING:  # fido2 comes with an extra
    from gatekeeper.identity.factors.passkeys import Passkeys

METHOD: Final = "passkey"
LIFE: Final = 300.0  # seconds to show the passkey


class PasskeyLogin:
    """The service behind ``passkey/options`` and ``passkey/verify`` without a password before."""

    def __init__(
        self,
        accounts: Accounts,
        passkeys: Passkeys,
        challenges: Challenges,
        second: SecondStep,
        recording: Recording,
        counter: AttemptCounter,
        strikes: CodeStrikes,
        *,
        per_address: Rate,
    ) -> None:
        self._accounts = accounts
        self._passkeys = passkeys
        self._challenges = challenges
        self._second = second
        self._recording = recording
        self._counter = counter
        self._strikes = strikes
        self._per_address = per_address

    async def begin(self, caller: Caller, now: float) -> tuple[str, dict[str, Any]]:
        """A challenge and PublicKeyCredentialRequestOptionsJSON. Raises Problem (429), StoreUnavailable."""
        await take_or_refuse(self._counter, self._per_address, *PASSKEY.key(rate_key(caller.address)))
        challenge = await self._challenges.open(
            Purpose.LOGIN, user=None, methods=(str(Method.PASSKEY),), life=LIFE, now=now
        )
        return challenge.id, await self._passkeys.request_options(challenge.id, None)

    async def log_in(self, challenge: str, response: Mapping[str, Any], caller: Caller, now: float) -> TokenPair:
        """A new session of two factors. Raises Problem (401 invalid-credentials, 429), StoreUnavailable."""
        async with self._recording.attempt(Tried("", None, METHOD), caller, now):
            return await self._log_in(challenge, response, caller, now)

    async def _log_in(self, challenge: str, response: Mapping[str, Any], caller: Caller, now: float) -> TokenPair:
        address = LOGIN_ADDRESS.key(rate_key(caller.address))
        await take_or_refuse(self._counter, self._per_address, *address)
        shown = await self._shown(challenge, response, now)
        if shown is None:
            await self._record(caller, now)
            await self._strikes.strike(Source.OTP, caller.address, now)
            raise Problem(401, Reason.INVALID_CREDENTIALS, "That passkey is not known here.")
        await self._counter.give_back(self._per_address, *address)
        user, amr = shown
        self._recording.knows(Tried(user.email, user.id, METHOD))
        first = FirstStep(user, user.email, METHOD, amr, two_factors=True)
        return await self._second.admit(first, caller, now)

    async def _shown(
        self, challenge: str, response: Mapping[str, Any], now: float
    ) -> tuple[UserState, tuple[str, ...]] | None:
        found = await self._challenges.take_try(challenge, Purpose.LOGIN, now=now)
        if isinstance(found, Reason) or found.user is not None or found.methods != (str(Method.PASSKEY),):
            return None
        shown = await self._passkeys.verify(challenge, None, response, now)
        if shown is None or not await self._challenges.spend(found):
            return None
        account = await self._accounts.find(shown.passkey.user_id)
        return None if account is None or account.state.locked else (account.state, shown.amr)

    async def _record(self, caller: Caller, now: float) -> None:
        """One row for what was refused; whose it might have been is not known."""
        await self._recording.failed(Tried("", None, METHOD), Reason.INVALID_CREDENTIALS, caller, now)
