"""Whom the gate does not listen to: the first look at every request. Called by ``gatekeeper.gate`` and the entrance.

Costs next to nothing while nobody is banned, and no signature is checked for somebody who is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gatekeeper.inbound import InboundRequest
from policies.ban_list import BanList
from policies.bans import Banned, Source
from policies.globs import Glob, split_path
from policies.model import Address, Decision, Reason


class Striker(Protocol):
    """Counts offences (``bans.strikes.Strikes``)."""

    def counts(self, source: Source, address: Address) -> bool: ...

    def note(self, source: Source, address: Address, now: float) -> None: ...


class Door:
    """The bans in force, and the paths that give an attacker away."""

    def __init__(self, bans: BanList, strikes: Striker | None = None, honeypots: Sequence[Glob] = ()) -> None:
        self._bans = bans
        self._strikes = strikes
        self._honeypots = tuple(honeypots)

    def reload(self, honeypots: Sequence[Glob]) -> None:
        """Other honeypots, from the next request on."""
        self._honeypots = tuple(honeypots)

    def refuses(self, request: InboundRequest) -> Decision | None:
        """By address, network, country and user agent; None: it may go on."""
        bans = self._bans
        if not bans.quiet:
            if not bans.ready:
                return Decision(reason=Reason.STORE_UNAVAILABLE)
            found = bans.of_request(request.client, request.headers.get("User-Agent"), request.received)
            if found is not None:
                return _refusal(found, request.received)
        if self._honeypots and self._gives_itself_away(request):
            return Decision(reason=Reason.BANNED)
        return None

    def refuses_user(self, user: str, now: float) -> Decision | None:
        """By account, once it is known who asks."""
        found = None if self._bans.quiet else self._bans.of_user(user, now)
        return None if found is None else _refusal(found, now)

    def over_limit(self, address: Address, now: float) -> None:
        """A request was over a limit."""
        if self._strikes is not None:
            self._strikes.note(Source.LIMITS, address, now)

    def _gives_itself_away(self, request: InboundRequest) -> bool:
        strikes = self._strikes
        if strikes is None or "Sec-Fetch-Site" in request.headers:
            return False  # a browser may have been sent there by a foreign page
        segments = split_path(request.target.path)
        if not any(glob.matches(segments) for glob in self._honeypots):
            return False
        if not strikes.counts(Source.HONEYPOT, request.client):
            return False
        strikes.note(Source.HONEYPOT, request.client, request.received)
        return True


def _refusal(found: Banned, now: float) -> Decision:
    return Decision(reason=Reason.BANNED, retry_after=found.retry_after(now))
