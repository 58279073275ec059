"""Owners are told what happened to their account: by mail, with when, from where and on what. Called by the services
that make the change, once it is made.

What a client sent is in these mails only as a place, a known program and system, and an address; never as its own text.
"""

from __future__ import annotations

from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.links import Addresses
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from geo.device import find_device

LIFE: Final = 7 * 86_400.0  # seconds for which such news are worth sending
UNKNOWN: Final = "unknown"


class Notices:
    """The service. Its methods raise StoreUnavailable."""

    def __init__(self, notifier: Notifier, addresses: Addresses) -> None:
        self._notifier = notifier
        self._addresses = addresses

    async def factor_added(self, email: str, what: str, caller: Caller, now: float) -> None:
        """``what`` is the factor in words, such as ``an authenticator app``."""
        await self._tell(Kind.FACTOR_ADDED, email, caller, now, what=what)

    async def factor_removed(self, email: str, what: str, caller: Caller, now: float) -> None:
        """As ``factor_added``."""
        await self._tell(Kind.FACTOR_REMOVED, email, caller, now, what=what)

    async def recovery_codes_renewed(self, email: str, caller: Caller, now: float) -> None:
        """The old ones are void."""
        await self._tell(Kind.RECOVERY_CODES, email, caller, now)

    async def _tell(self, kind: Kind, email: str, caller: Caller, now: float, **facts: str) -> None:
        whole = {"forgot": self._addresses.forgot, "account": self._addresses.account, **seen(caller, now), **facts}
        await self._notifier.send(Message(kind, email, now + LIFE, whole), now)


def seen(caller: Caller, now: float) -> dict[str, str]:
    """``when`` (UTC), ``device``, ``from_address`` and ``place`` of a request, as facts of a message."""
    found = find_device(caller.user_agent)
    named = [part for part in (found.program, found.system) if part is not None]
    return {
        "when": as_datetime(now).strftime("%Y-%m-%d %H:%M UTC"),
        "device": " on ".join(named) or UNKNOWN,
        "from_address": str(caller.address),
        "place": caller.country or UNKNOWN,
    }
