"""Sign-ins from somewhere new: their owner is told. Called by ``second_step`` around the opening of a session.

A browser that has signed in before (``tokens.devices``) is none, nor is an address that the account was used from;
the first sign-in of an account raises nothing, and an unknown country is never a new one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.notices import Notices
from gatekeeper.tokens.devices import DeviceTokens
from gatekeeper.tokens.sessions import UserState
from policies.model import Address

LOOK_BACK: Final = 90 * 86_400.0  # seconds
A_DEVICE: Final = "a device or network"
A_COUNTRY: Final = "a country"

_log = logging.getLogger("gatekeeper.identity")


@dataclass(frozen=True, slots=True)
class Used:
    """What is known of an account's sign-ins: whether there are any, from this address, from this country."""

    ever: bool
    here: bool
    country: bool


class History(Protocol):
    """Knows where accounts were used from. Raises StoreUnavailable."""

    async def used(self, user: str, address: Address, country: str | None, since: float) -> Used:
        """``here``: from this address (IPv6: its /64) since then; ``country``: from there, or nobody knows where."""


class Arrivals:
    """The service."""

    def __init__(self, history: History, known: DeviceTokens, notices: Notices) -> None:
        self._history = history
        self._known = known
        self._notices = notices

    async def unusual(self, user: str, caller: Caller, now: float) -> str | None:
        """In words what is new about a sign-in that is about to be let in. Raises StoreUnavailable."""
        used = await self._history.used(user, caller.address, caller.country, now - LOOK_BACK)
        if not used.ever or used.here:
            return None
        if not used.country:
            return A_COUNTRY
        return None if self._known.recognise(caller.known, user) is not None else A_DEVICE

    async def tell(self, user: UserState, what: str, caller: Caller, now: float) -> None:
        """The sign-in stands whether or not its owner can be told."""
        try:
            await self._notices.signed_in(user, what, caller.origin(), now)
        except StoreUnavailable as fault:
            _log.warning("the owner could not be told of a sign-in: %s", fault, extra={"user": user.id})
