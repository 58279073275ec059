"""A login by a one-time code, and the typed code of any login. The service behind POST ``otp/verify`` and its page."""

from __future__ import annotations

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.factors.checks import CodeShown
from gatekeeper.identity.factors.otp import METHOD, OneTimeCodes
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.limits import AttemptCounter, Rate, take_or_refuse
from gatekeeper.identity.recording import Recording, Tried
from gatekeeper.identity.second_step import CodeStrikes, FirstStep, SecondStep
from gatekeeper.identity.tallies import LOGIN_ADDRESS
from gatekeeper.inbound import rate_key
from gatekeeper.tokens.sessions import TokenPair
from policies.bans import Source
from policies.model import Reason

_WRONG = "The code is not right."


class OtpLogin:
    """The service. Wrong codes count as failed logins of their address, ``per_address``, and towards a ban."""

    def __init__(
        self,
        codes: OneTimeCodes,
        challenges: Challenges,
        accounts: Accounts,
        proofs: EmailProofs,
        second: SecondStep,
        recording: Recording,
        counter: AttemptCounter,
        strikes: CodeStrikes,
        *,
        per_address: Rate,
    ) -> None:
        self._codes = codes
        self._challenges = challenges
        self._accounts = accounts
        self._proofs = proofs
        self._second = second
        self._recording = recording
        self._counter = counter
        self._strikes = strikes
        self._per_address = per_address

    async def verify(self, challenge: str, code: str, caller: Caller, now: float) -> TokenPair:
        """The session that a right code opens.

        Raises Problem (401 otp-invalid, otp-expired; mfa-required where the code was the first step; 429) or
        StoreUnavailable.
        """
        async with self._recording.attempt(Tried("", None, METHOD), caller, now):
            return await self._verify(challenge, code, caller, now)

    async def _verify(self, challenge: str, code: str, caller: Caller, now: float) -> TokenPair:
        address = LOGIN_ADDRESS.key(rate_key(caller.address))
        await take_or_refuse(self._counter, self._per_address, *address)
        found = await self._challenges.find(challenge)
        if found is not None:
            self._recording.knows(Tried(self._codes.email_of(found), found.user, METHOD))
        if found is not None and found.purpose is Purpose.MFA:
            pair = await self._finish(found, code, caller, now)
        else:
            pair = await self._begin(challenge, found, code, caller, now)
        await self._counter.give_back(self._per_address, *address)
        return pair

    async def _finish(self, challenge: Challenge, code: str, caller: Caller, now: float) -> TokenPair:
        """The second step of a login whose first was another."""
        try:
            return await self._second.finish(challenge.id, CodeShown(Method.OTP, code.strip()), caller, now)
        except Problem as refusal:
            if refusal.reason is not Reason.MFA_INVALID:
                raise
            late = now >= challenge.expires_at
            raise Problem(401, Reason.OTP_EXPIRED if late else Reason.OTP_INVALID, refusal.detail) from None

    async def _begin(self, challenge: str, found: Challenge | None, code: str, caller: Caller, now: float) -> TokenPair:
        try:
            answered = await self._codes.answer(challenge, code, Purpose.LOGIN, Purpose.VERIFY_EMAIL, now=now)
        except Problem as refusal:
            if found is not None:
                await self._failed(found, refusal.reason, caller, now)
            raise
        email = self._codes.email_of(answered)
        account = await self._accounts.find(answered.user) if answered.user else None
        if account is None or account.state.locked or account.state.email != email:
            await self._failed(answered, Reason.OTP_INVALID, caller, now)
            raise Problem(401, Reason.OTP_INVALID, _WRONG)
        user = account.state
        if account.must_verify and answered.purpose is Purpose.LOGIN:
            # Whoever registered this e-mail may be somebody else, whose password must not outlive this login.
            await self._accounts.drop_password(user.id)
        if not user.email_verified:  # whoever reads its mail has the e-mail
            user = await self._proofs.prove(user, email, caller, now)
        return await self._second.admit(FirstStep(user, email, METHOD, ("otp",)), caller, now)

    async def _failed(self, challenge: Challenge, reason: Reason, caller: Caller, now: float) -> None:
        tried = Tried(self._codes.email_of(challenge), challenge.user, METHOD)
        await self._recording.failed(tried, reason, caller, now)
        await self._strikes.strike(Source.OTP, caller.address, now)
