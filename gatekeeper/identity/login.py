"""Login with a password: limits, the check that takes as long for nobody, the record, the session.

Every attempt is one row, written before it is answered (security 15, 16, 18).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import limits

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.limits import AttemptCounter, account_key, take_or_refuse
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.second_step import FirstStep, SecondStep
from gatekeeper.inbound import rate_key
from gatekeeper.journal.attempts import Attempt, AttemptLog, Result
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Reason


class PasswordLogin:
    """The service behind POST ``login`` and the login page."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        second: SecondStep,
        attempts: AttemptLog,
        counter: AttemptCounter,
        *,
        per_address: limits.RateLimitItem,
        per_account: limits.RateLimitItem,
        counter_secret: bytes,
        new_key: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._second = second
        self._attempts = attempts
        self._counter = counter
        self._per_address = per_address
        self._per_account = per_account
        self._secret = counter_secret
        self._new_key = new_key

    async def log_in(self, email: str, password: str, caller: Caller, now: float) -> TokenPair:
        """A new session. Raises Problem (401 invalid-credentials or mfa-required, 429, 503) or StoreUnavailable."""
        account = await self._find(email)
        address = ("login", "address", rate_key(caller.address))
        identity = ("login", "account", account.state.id if account else account_key(self._secret, _fold(email)))
        try:
            await take_or_refuse(self._counter, self._per_address, *address)
            await take_or_refuse(self._counter, self._per_account, *identity)
        except Problem as refusal:
            await self._record(email, account, Result.BLOCKED, refusal.reason, caller, now)
            raise
        right = await self._passwords.verify(account.password_hash if account else None, password)
        if account is None or not right or account.state.locked:
            await self._record(email, account, Result.FAILURE, Reason.INVALID_CREDENTIALS, caller, now)
            raise Problem(401, Reason.INVALID_CREDENTIALS, "The e-mail or the password is wrong.")
        await self._counter.give_back(self._per_address, *address)
        await self._counter.clear(self._per_account, *identity)
        await self._rehash(account, password)
        return await self._second.admit(FirstStep(account.state, email, "password", ("pwd",)), caller, now)

    async def confirm(self, user: str, password: str) -> None:
        """Ask for the password again, under the same limit as a login. Raises Problem (401, 429, 503)."""
        identity = ("login", "account", user)
        await take_or_refuse(self._counter, self._per_account, *identity)
        account = await self._accounts.find(user)
        right = await self._passwords.verify(account.password_hash if account else None, password)
        if not right:
            raise Problem(401, Reason.INVALID_CREDENTIALS, "The current password is wrong.")
        await self._counter.clear(self._per_account, *identity)

    async def _find(self, email: str) -> Account | None:
        try:
            canonical = canonical_email(email)
        except InvalidEmail:
            canonical = ""  # looked up all the same: an odd address takes as long as an unknown one
        return await self._accounts.find_by_email(canonical)

    async def _rehash(self, account: Account, password: str) -> None:
        old = account.password_hash
        if old is not None and self._passwords.outdated(old):
            await self._accounts.rehash(account.state.id, old, await self._passwords.hash(password))

    async def _record(
        self,
        email: str,
        account: Account | None,
        result: Result,
        reason: Reason | None,
        caller: Caller,
        now: float,
    ) -> None:
        attempt = Attempt(
            time=now,
            email=email,
            user_id=account.state.id if account else None,
            result=result,
            reason=reason,
            method="password",
            address=caller.address,
            country=caller.country,
            user_agent=caller.user_agent,
            session=None,
            request_id=caller.request_id,
        )
        await self._attempts.record_attempt(attempt, self._new_key())


def _fold(email: str) -> str:
    try:
        return canonical_email(email)
    except InvalidEmail:
        return email.casefold()
