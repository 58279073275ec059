"""Session binding: a cookie that turns up elsewhere than its session belongs is copied, or its owner has moved.

A session remembers the kind of device, the network and the country it was opened from. Cookies are held to those that
``sessions.bind`` names, on every request and without asking anybody: what a request says is compared with the record
that was read anyway. A bearer token may be used from a server and is held to nothing. What is not known is no mismatch.
Called by ``tokens.sessions``, the gate and the gate's own endpoints.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Collection
from hashlib import sha256
from ipaddress import ip_network
from typing import Final, Literal

from geo.device import find_device
from policies.model import Address

PARTS: Final = ("device", "network", "country")
OnMismatch = Literal["log", "step-up", "revoke"]
_UNKNOWN: Final = "-"
_MOST_REMEMBERED: Final = 20_000
_LONGEST_AGENT: Final = 512  # characters, as ``geo.device`` looks at
_PREFIX: Final = {4: 24, 6: 48}  # what one household or office has for long, and a thief elsewhere has not

_log = logging.getLogger("gatekeeper.sessions")


class Bindings:
    """Says what a request is bound to, and whether that is what its session is bound to.

    ``key`` (bytes) keys the devices, ``country_of`` knows places, ``bind`` are the PARTS that count.
    """

    def __init__(
        self,
        key: bytes = b"",
        country_of: Callable[[Address], str | None] = lambda _address: None,
        *,
        bind: Collection[str] = (),
        on_mismatch: OnMismatch = "log",
    ) -> None:
        self._key = key
        self._country_of = country_of
        self._bind = tuple(index for index, part in enumerate(PARTS) if part in bind)
        self.on_mismatch = on_mismatch
        self._known: dict[tuple[str, Address], str] = {}
        self._said: set[tuple[str, str]] = set()

    def of(self, user_agent: str, address: Address) -> str:
        """What a session is bound to that is opened from here, as its record has it."""
        asked = (user_agent[:_LONGEST_AGENT], address)
        known = self._known.get(asked)
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[asked] = self._made(user_agent, address)
        return known

    def _made(self, user_agent: str, address: Address) -> str:
        # Neither version nor language: a browser that was updated is no other one.
        found = find_device(user_agent)
        program = (found.program or "").rstrip("0123456789. ")
        device = hmac.digest(self._key, f"{program}\0{found.system or ''}".encode(), sha256).hex()[:16]
        network = ip_network((address, _PREFIX[address.version]), strict=False)
        return f"{device} {network} {self._country_of(address) or _UNKNOWN}"

    def mismatch(self, bound: str, user_agent: str, address: Address) -> tuple[str, ...]:
        """The PARTS in which a request differs from what its session is ``bound`` to; empty where all is well."""
        if not self._bind or not bound:
            return ()
        asked = self.of(user_agent, address)
        if asked == bound:
            return ()
        then, now = bound.split(" "), asked.split(" ")
        if len(then) != len(PARTS):
            return ()
        differing = (index for index in self._bind if then[index] != now[index])
        return tuple(PARTS[index] for index in differing if _UNKNOWN not in (then[index], now[index]))

    def note(self, session: str, mismatch: tuple[str, ...], address: Address) -> bool:
        """Log it, once for a session and kind; whether this was the time."""
        what = (session, " ".join(mismatch))
        if what in self._said:
            return False
        if len(self._said) >= _MOST_REMEMBERED:
            self._said.clear()
        self._said.add(what)
        facts = {"session": session, "differs": list(mismatch), "client": str(address), "action": self.on_mismatch}
        _log.warning("a session is used from elsewhere than it is bound to", extra=facts)
        return True
