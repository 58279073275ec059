"""A request as the gate judges it. ``RequestReader`` is called once a request, at the entrance, before any handler.

Everything that would make two readers of one request disagree ends here with a small ``Refused`` value.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from multidict import CIMultiDictProxy, istr

from gatekeeper.clock import Clock
from gatekeeper.inbound.arrival import Arrival
from gatekeeper.inbound.client import TrustedProxies, derive_client
from gatekeeper.inbound.head import Head
from gatekeeper.inbound.hosts import parse_host
from gatekeeper.inbound.target import split_target
from policies.facts import fact
from policies.model import Address, Reason, RequestTarget

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HOST: Final = istr("Host")
_AUTHORIZATION: Final = istr("Authorization")
_API_KEY: Final = istr("X-Api-Key")
_UPGRADE: Final = istr("Upgrade")
_FOR: Final = istr("X-Forwarded-For")
_PROTO: Final = istr("X-Forwarded-Proto")
_FORWARDED_HOST: Final = istr("X-Forwarded-Host")
_REQUEST_ID: Final = istr("X-Request-Id")

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}  # Traefik says ws of a WebSocket


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is answered with ``status`` and goes no further."""

    status: int
    reason: Reason


@fact
class InboundRequest:
    """The facts of one request.

    ``peer`` is the socket's other end, ``client`` whom it speaks for. ``headers`` and ``raw_headers`` (the bytes
    as sent, in order) hold the same fields; they carry credentials and stay out of ``repr``. ``received`` is in
    Unix seconds. ``head``, where there is one, stands for equal fields of other requests too, so that what follows
    from the fields alone can be remembered by it. ``trusted`` says that the peer's word on scheme, host and client
    counts.
    """

    method: str
    target: RequestTarget
    client: Address
    peer: Address
    headers: CIMultiDictProxy[str] = field(repr=False)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    request_id: str
    received: float
    head: Head | None = field(default=None, repr=False)
    trusted: bool = False


_BAD_TARGET: Final = Refused(400, Reason.BAD_TARGET)
_MALFORMED: Final = Refused(400, Reason.VALIDATION)
_UNKNOWN_METHOD: Final = Refused(501, Reason.METHOD_NOT_ALLOWED)
_NO_ADDRESS: Final = Refused(403, Reason.UNTRUSTED_PROXY)


def is_method(text: str) -> bool:
    """Whether the gate knows this method; methods are case-sensitive (RFC 9110 9.1)."""
    return text in METHODS


class RequestReader:
    """Reads requests. ``scheme`` is meant where an arrival names none, http or https."""

    def __init__(self, trusted: TrustedProxies, clock: Clock, *, scheme: str = "http") -> None:
        self._trusted = trusted
        self._now = clock.now
        self._scheme = scheme
        self._new_id = RequestIds().new

    def read(
        self,
        method: str,
        raw_target: str,
        headers: CIMultiDictProxy[str],
        raw_headers: tuple[tuple[bytes, bytes], ...],
        arrival: Arrival,
        head: Head | None = None,
    ) -> InboundRequest | Refused:
        """The request, or why it is none.

        A peer without an IP address (a unix socket) is refused: nothing could be said of who it speaks for.
        """
        if method not in METHODS:
            return _UNKNOWN_METHOD
        known = self._trusted.peer(arrival.peer)
        if known is None:
            return _NO_ADDRESS
        address, trusted = known
        hosts = headers.getall(_HOST, ())
        found = split_target(raw_target)
        host = parse_host(hosts[0]) if len(hosts) == 1 else None
        if found is None or host is None:
            return _BAD_TARGET
        if _ambiguous(headers):
            return _MALFORMED
        received = self._now()
        scheme = arrival.scheme or self._scheme
        if not (trusted and arrival.believed):
            target = RequestTarget(scheme, host[0], host[1], found[0], found[1])
            return InboundRequest(
                method, target, address, address, headers, raw_headers, self._new_id(received), received
            )
        target_or_refused = self._as_forwarded(headers, scheme, host, found)
        client = derive_client(address, headers.getall(_FOR, ()), self._trusted)
        if isinstance(target_or_refused, Refused) or client is None:
            return _MALFORMED
        request_id = _kept_id(headers) or self._new_id(received)
        return InboundRequest(
            method, target_or_refused, client, address, headers, raw_headers, request_id, received, head, trusted
        )

    def read_head(self, method: str, raw_target: str, head: Head, arrival: Arrival) -> InboundRequest | Refused:
        """As ``read``, of a head that is known to be plain: only the target is left to be judged."""
        known = self._trusted.peer(arrival.peer)
        if known is None:
            return _NO_ADDRESS
        address, trusted = known
        if trusted:
            return self.read(method, raw_target, head.headers, head.raw, arrival, head)
        found = split_target(raw_target)
        if found is None:
            return _BAD_TARGET
        host, received = head.host, self._now()
        target = RequestTarget(arrival.scheme or self._scheme, host[0], host[1], found[0], found[1])
        return InboundRequest(
            method, target, address, address, head.headers, head.raw, self._new_id(received), received, head
        )

    def stamp(self) -> tuple[str, float]:
        """Id and time (Unix seconds) for the log of a request that could not be read."""
        now = self._now()
        return self._new_id(now), now

    def _as_forwarded(
        self,
        headers: CIMultiDictProxy[str],
        own_scheme: str,
        host: tuple[str, int | None],
        found: tuple[str, str | None],
    ) -> RequestTarget | Refused:
        """The target with scheme and host as the trusted peer saw them; a list or an odd value is refused."""
        scheme: str | None = own_scheme
        schemes = headers.getall(_PROTO, ())
        if schemes:
            scheme = _SCHEMES.get(schemes[0].lower()) if len(schemes) == 1 else None
        asked: tuple[str, int | None] | None = host
        hosts = headers.getall(_FORWARDED_HOST, ())
        if hosts:
            asked = parse_host(hosts[0]) if len(hosts) == 1 else None
        if scheme is None or asked is None:
            return _MALFORMED
        return RequestTarget(scheme, asked[0], asked[1], found[0], found[1])


def _ambiguous(headers: CIMultiDictProxy[str]) -> bool:
    """Two credentials, or a protocol that the gate could not follow (RFC 9113 dropped ``Upgrade: h2c``)."""
    if _AUTHORIZATION in headers:
        shown = headers.getall(_AUTHORIZATION)
        if len(shown) > 1 or (_API_KEY in headers and shown[0].partition(" ")[0].lower() == "bearer"):
            return True
    if _API_KEY in headers and len(headers.getall(_API_KEY)) > 1:
        return True
    if _UPGRADE not in headers:
        return False
    offered = ",".join(headers.getall(_UPGRADE)).lower().split(",")
    return any(token.strip(" \t").partition("/")[0] in {"h2c", "h2"} for token in offered)


def _kept_id(headers: CIMultiDictProxy[str]) -> str | None:
    sent = headers.getall(_REQUEST_ID, ())
    return sent[0] if len(sent) == 1 and _ID.fullmatch(sent[0]) else None


class RequestIds:
    """Ids of 24 hex digits that sort by time: milliseconds, a count, and 32 bits that are this reader's own."""

    def __init__(self) -> None:
        self._own = secrets.token_hex(4)
        self._count = count(secrets.randbits(20))

    def new(self, now: float) -> str:
        """An id for a request received at ``now`` (Unix seconds)."""
        return f"{int(now * 1000):011x}{next(self._count) & 0xFFFFF:05x}{self._own}"
