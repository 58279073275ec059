"""Guessing is slowed down without locking owners out: what one attempt to sign in is counted under (security 20).

Three counts: the address; the account with the address; the account. Strangers can use up the third, and then a
known device still gets through under a count of its own, and so does an address that the account was used from.
Called by ``identity.login`` and by every other way to sign in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gatekeeper.errors import Problem
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.limits import AttemptCounter, Rate, account_key, take_or_refuse
from gatekeeper.identity.tallies import CONFIRM, LOGIN_ACCOUNT, LOGIN_ADDRESS, LOGIN_DEVICE, LOGIN_PAIR
from gatekeeper.inbound import rate_key
from gatekeeper.tokens.devices import DeviceTokens
from policies.model import Address

_NOBODY = "00000000-0000-0000-0000-000000000000"
FAMILIAR_FOR = 90 * 86400.0  # seconds for which an account's addresses are remembered


class FamiliarAddresses(Protocol):
    """Knows where accounts were used from. Raises StoreUnavailable."""

    async def used_from(self, user: str, address: Address, since: float) -> bool:
        """Whether ``user`` has signed in from this address (IPv6: its /64) since then (Unix seconds)."""


class FailureStrikes(Protocol):
    """Counts failures towards a ban. Never raises for a store."""

    async def failed_login(self, address: Address, account: str, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that may go on; ``account`` is an id, or an HMAC where no account has the e-mail."""

    address: Address
    account: str
    counted: tuple[tuple[str, ...], ...]  # what to forget when it succeeds


class AttemptGuard:
    """The counts. ``secret`` keys unknown e-mails, so that none lies in Redis."""

    def __init__(
        self,
        counter: AttemptCounter,
        devices: DeviceTokens,
        familiar: FamiliarAddresses,
        strikes: FailureStrikes,
        *,
        per_address: Rate,
        per_account: Rate,
        secret: bytes,
    ) -> None:
        self._counter = counter
        self._devices = devices
        self._familiar = familiar
        self._strikes = strikes
        self._per_address = per_address
        self._per_account = per_account
        self._secret = secret

    async def admit(self, user: str | None, email: str, caller: Caller, now: float) -> Attempt:
        """Count an attempt on ``user`` (None: no account has ``email``).

        Raises Problem (429) where it may not go on, and StoreUnavailable.
        """
        account = user or account_key(self._secret, folded(email))
        known = self._devices.recognise(caller.known, account)
        address, place = caller.address, rate_key(caller.address)
        try:
            await take_or_refuse(self._counter, self._per_address, *LOGIN_ADDRESS.key(place))
            if known is not None:
                own = LOGIN_DEVICE.key(account, known)
                await take_or_refuse(self._counter, self._per_account, *own)
                return Attempt(address, account, (own,))
            pair = LOGIN_PAIR.key(account, place)
            await take_or_refuse(self._counter, self._per_account, *pair)
        except Problem:
            await self._strikes.failed_login(address, account, now)
            raise
        shared = LOGIN_ACCOUNT.key(account)
        try:
            await take_or_refuse(self._counter, self._per_account, *shared)
        except Problem:
            # The same question for nobody: how long it takes says nothing of whether there is an account.
            if not await self._familiar.used_from(user or _NOBODY, address, now - FAMILIAR_FOR):
                raise
            return Attempt(address, account, (pair,))
        return Attempt(address, account, (pair, shared))

    async def succeeded(self, attempt: Attempt) -> None:
        """It was the owner: the address gets this attempt back, and the account its tries."""
        await self._counter.give_back(self._per_address, *LOGIN_ADDRESS.key(rate_key(attempt.address)))
        for key in attempt.counted:
            await self._counter.clear(self._per_account, *key)

    async def failed(self, attempt: Attempt, now: float) -> None:
        """It was not, and counts towards a ban."""
        await self._strikes.failed_login(attempt.address, attempt.account, now)

    async def confirm(self, user: str) -> None:
        """Count one more question for the password of somebody who is signed in. Raises Problem (429)."""
        await take_or_refuse(self._counter, self._per_account, *CONFIRM.key(user))

    async def not_confirmed(self, user: str, caller: Caller, now: float) -> None:
        """It was wrong, and counts towards a ban."""
        await self._strikes.failed_login(caller.address, user, now)

    async def confirmed(self, user: str) -> None:
        """It was right."""
        await self._counter.clear(self._per_account, *CONFIRM.key(user))


def folded(email: str) -> str:
    """An e-mail as it is counted, one that is none too."""
    try:
        return canonical_email(email)
    except InvalidEmail:
        return email.casefold()
