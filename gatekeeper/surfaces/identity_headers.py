"""What upstreams learn of the caller: the X-Gate-* fields and the X-Forwarded-* family.

Used by the proxy (unknown values absent) and by verify (present and empty), so both say the same.
"""

from __future__ import annotations

from typing import NamedTuple

from gatekeeper.inbound import InboundRequest
from gatekeeper.tokens.assertion import Assertions
from gatekeeper.upstream.headers import RawHeaders, refuse_controls
from gatekeeper.upstream.messages import encode_fields
from geo.lookup import PlaceFinder
from policies.model import Address, Principal

IDENTITY = (
    "X-Gate-Subject",
    "X-Gate-User",
    "X-Gate-Email-Verified",
    "X-Gate-Roles",
    "X-Gate-Session",
    "X-Gate-Amr",
    "X-Gate-Auth-Time",
    "X-Gate-Country",
    "X-Gate-Assertion",
)

#: Canonical names that no client may set (security 3).
IDENTITY_NAMES = frozenset(name.lower().encode() for name in IDENTITY)

#: What only a trusted proxy may say of a request (security 5); canonical names.
FORWARDING_NAMES = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-original-url",
        b"x-original-uri",
        b"x-original-method",
        b"x-original-host",
        b"x-rewrite-url",
        b"x-forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-protocol",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-prefix",
        b"x-forwarded-path",
        b"x-forwarded-uri",
        b"x-forwarded-method",
        b"x-forwarded-by",
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-forwarded-groups",
        b"x-forwarded-preferred-username",
        b"x-forwarded-access-token",
        b"x-request-id",
    }
)

_WIRE_NAMES = tuple(name.encode() for name in IDENTITY)
_MOST_REMEMBERED = 10_000
_FRESH = 2.0  # seconds
_FOR, _PROTO, _HOST = b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"


class _Made(NamedTuple):
    """Lines of one principal, and when they were made."""

    principal: Principal | None
    made_at: float
    lines: bytes


class IdentityHeaders:
    """Builds the fields for one decision."""

    def __init__(self, assertions: Assertions, places: PlaceFinder) -> None:
        self._assertions = assertions
        self._places = places
        self._made: dict[tuple[Address, str, bool, str | None], _Made] = {}

    def values(self, principal: Principal | None, request: InboundRequest, audience: str) -> tuple[str, ...]:
        """One value a name of ``IDENTITY``, "" where it is unknown."""
        place = self._places.find(request.client)
        country = (place.country or "") if place else ""
        if principal is None:
            return ("", "", "", "", "", "", "", country, "")
        return (
            principal.subject,
            principal.email,
            "true" if principal.email_verified else "false",
            ",".join(sorted(principal.told_roles)),
            principal.session,
            " ".join(principal.amr),
            str(int(principal.auth_time)) if principal.auth_time else "",
            country,
            self._assertions.for_upstream(principal, audience, request.received),
        )

    def for_upstream(self, principal: Principal | None, request: InboundRequest, audience: str) -> bytes:
        """The identity fields that are known, as lines on the wire."""
        return self._lines(principal, request, audience, empty=False)

    def for_verify(self, principal: Principal | None, request: InboundRequest, audience: str) -> bytes:
        """All identity fields, empty where unknown, as lines on the wire."""
        return self._lines(principal, request, audience, empty=True)

    def _lines(self, principal: Principal | None, request: InboundRequest, audience: str, *, empty: bool) -> bytes:
        """Made anew when the principal is another object, and every few seconds, for a new assertion or database."""
        now = request.received
        key = (request.client, audience, empty, None if principal is None else principal.jti)
        made = self._made.get(key)
        if made is not None and made.principal is principal and made.made_at <= now < made.made_at + _FRESH:
            return made.lines
        values = self.values(principal, request, audience)
        fields = [(name, value.encode()) for name, value in zip(_WIRE_NAMES, values, strict=True) if value or empty]
        if len(self._made) >= _MOST_REMEMBERED:
            self._made.clear()
        lines = _encoded(fields)
        self._made[key] = _Made(principal, now, lines)
        return lines


class ForwardingFields:
    """X-Forwarded-*, Forwarded (RFC 7239), Via (RFC 9110 7.6.3) and X-Request-Id for the upstream.

    What a trusted proxy said before is kept, with this hop appended.
    """

    def __init__(self) -> None:
        self._of_strangers: dict[tuple[Address, str, str, int | None], bytes] = {}

    def of(self, request: InboundRequest, *, trusted: bool) -> bytes:
        """The fields of one request, as lines on the wire."""
        own = b"X-Request-Id: %b\r\n" % request.request_id.encode()
        if trusted:
            return _encoded(_forwarding(request, trusted=True)) + own
        target = request.target
        key = (request.peer, target.scheme, target.host, target.port)
        fields = self._of_strangers.get(key)
        if fields is None:
            fields = _encoded(_forwarding(request, trusted=False))
            if len(self._of_strangers) >= _MOST_REMEMBERED:
                self._of_strangers.clear()
            self._of_strangers[key] = fields
        return fields + own


def _encoded(fields: RawHeaders) -> bytes:
    refuse_controls(fields)
    return encode_fields(fields).lines


def _forwarding(request: InboundRequest, *, trusted: bool) -> RawHeaders:
    peer = str(request.peer)
    node = f'"[{peer}]"' if request.peer.version == 6 else peer
    target = request.target
    element = f'for={node};host="{target.authority}";proto={target.scheme}'
    via = "1.1 gatekeeper"
    chain = peer
    if trusted:
        chain = _append(request, "X-Forwarded-For", peer)
        element = _append(request, "Forwarded", element)
        via = _append(request, "Via", via)
    return [
        (_FOR, chain.encode("latin-1", "replace")),
        (_PROTO, target.scheme.encode()),
        (_HOST, target.authority.encode()),
        (b"X-Real-IP", str(request.client).encode()),
        (b"Forwarded", element.encode("latin-1", "replace")),
        (b"Via", via.encode("latin-1", "replace")),
    ]


def _append(request: InboundRequest, name: str, value: str) -> str:
    return ", ".join([*request.headers.getall(name, []), value])
