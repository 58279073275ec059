"""Who is at the other end of a login, as far as the request says. Passed by the endpoints to every login service."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatekeeper.tokens.durable import SessionOrigin
from geo.lookup import Place
from policies.model import Address


@dataclass(frozen=True, slots=True)
class Caller:
    """Where an attempt comes from; ``device`` is the cookie of a remembered device, ``known`` that of a browser
    that has signed in before, ``place`` what is known of the address, ``fingerprint`` what the browser looks like.
    """

    address: Address
    country: str | None
    user_agent: str
    request_id: str
    device: str | None = field(default=None, repr=False)
    known: str | None = field(default=None, repr=False)
    place: Place | None = None
    fingerprint: str | None = None

    def origin(self) -> SessionOrigin:
        """As a session remembers it."""
        city = None if self.place is None else self.place.city
        return SessionOrigin(self.address, self.country, self.user_agent, city)
