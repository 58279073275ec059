"""Login with a password: limits, the check that takes as long for nobody, the record, the session.

Every attempt is one row, written before it is answered (security 15, 16, 18).
"""

from __future__ import annotations

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.guard import AttemptGuard
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.recording import Recording, Tried
from gatekeeper.identity.second_step import PASSWORD, FirstStep, SecondStep
from gatekeeper.journal.attempts import Result
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Reason


class PasswordLogin:
    """The service behind POST ``login`` and the login page."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        second: SecondStep,
        recording: Recording,
        guard: AttemptGuard,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._second = second
        self._recording = recording
        self._guard = guard

    async def log_in(self, email: str, password: str, caller: Caller, now: float) -> TokenPair:
        """A new session.

        Raises Problem (401 invalid-credentials, mfa-required or password-change-required, 403 banned or
        email-unverified, 429, 503) or StoreUnavailable.
        """
        async with self._recording.attempt(Tried(email, None, PASSWORD), caller, now):
            return await self._log_in(email, password, caller, now)

    async def _log_in(self, email: str, password: str, caller: Caller, now: float) -> TokenPair:
        account = await self._find(email)
        user = account.state.id if account else None
        self._recording.knows(Tried(email, user, "password"))
        try:
            attempt = await self._guard.admit(user, email, caller, now)
        except Problem as refusal:
            await self._record(email, account, Result.BLOCKED, refusal.reason, caller, now)
            raise
        right = await self._passwords.verify(account.password_hash if account else None, password)
        if account is None or not right or account.state.locked:
            await self._record(email, account, Result.FAILURE, Reason.INVALID_CREDENTIALS, caller, now)
            await self._guard.failed(attempt, now)
            raise Problem(401, Reason.INVALID_CREDENTIALS, "The e-mail or the password is wrong.")
        await self._guard.succeeded(attempt)
        if account.must_verify:
            await self._record(email, account, Result.FAILURE, Reason.EMAIL_UNVERIFIED, caller, now)
            raise Problem(403, Reason.EMAIL_UNVERIFIED, "Confirm your e-mail first; the link is in your mail.")
        await self._rehash(account, password)
        first = FirstStep(account.state, email, PASSWORD, ("pwd",), must_change=account.must_change)
        return await self._second.admit(first, caller, now)

    async def confirm(self, user: str, password: str, caller: Caller, now: float) -> None:
        """Ask for the password again. Raises Problem (401, 429, 503).

        Counted apart from logins: strangers cannot keep somebody who is signed in from a new password.
        """
        await self._guard.confirm(user)
        account = await self._accounts.find(user)
        right = await self._passwords.verify(account.password_hash if account else None, password)
        if not right:
            await self._guard.not_confirmed(user, caller, now)
            raise Problem(401, Reason.INVALID_CREDENTIALS, "The current password is wrong.")
        await self._guard.confirmed(user)

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
        tried = Tried(email, account.state.id if account else None, PASSWORD)
        await self._recording.failed(tried, reason, caller, now, result=result)
