"""What upstreams learn of the caller: the X-Gate-* fields and the X-Forwarded-* family.

Used by the proxy (unknown values absent) and by verify (present and empty), so both say the same.
"""

from __future__ import annotations

from gatekeeper.inbound import InboundRequest
from gatekeeper.tokens.assertion import Assertions
from gatekeeper.upstream.headers import RawHeaders
from geo.lookup import PlaceFinder
from policies.model import Principal

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

_FOR, _PROTO, _HOST = b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"


class IdentityHeaders:
    """Builds the fields for one decision."""

    def __init__(self, assertions: Assertions, places: PlaceFinder) -> None:
        self._assertions = assertions
        self._places = places

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
            ",".join(sorted(principal.roles)),
            principal.session,
            " ".join(principal.amr),
            str(int(principal.auth_time)),
            country,
            self._assertions.for_upstream(principal, audience, request.received),
        )

    def for_upstream(self, principal: Principal | None, request: InboundRequest, audience: str) -> RawHeaders:
        """The identity fields that are known, as they go on the wire."""
        values = self.values(principal, request, audience)
        return [(name.encode(), value.encode()) for name, value in zip(IDENTITY, values, strict=True) if value]


def forwarding_fields(request: InboundRequest, *, trusted: bool) -> RawHeaders:
    """X-Forwarded-*, Forwarded (RFC 7239), Via (RFC 9110 7.6.3) and X-Request-Id for the upstream.

    What a trusted proxy said before is kept, with this hop appended.
    """
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
        (b"X-Request-Id", request.request_id.encode()),
    ]


def _append(request: InboundRequest, name: str, value: str) -> str:
    return ", ".join([*request.headers.getall(name, []), value])
