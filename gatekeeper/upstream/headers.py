"""Which header fields cross the gate, in either direction. Called by the surfaces and by ``upstream.framing``.

Fields are lists of ``(name, value)`` bytes as they came off the wire; what is kept is kept byte for
byte and in order. Names are compared canonically (lower case, ``-`` for ``_``): CGI, WSGI and their
kin read ``X_Gate_User`` and ``X-Gate-User`` as the same variable, so a client could forge one by the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntFlag
from functools import lru_cache

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Everything but HTAB that RFC 9110 5.5 calls dangerous in a field value.
_CONTROLS = bytes(code for code in [*range(32), 127] if code != 9)
# Wire spellings met so far; bounded, since clients choose the names.
_REMEMBERED = 2048


class FieldKind(IntFlag):
    """What a field name means to a proxy."""

    HOP_BY_HOP = 1
    CONNECTION = 2
    FRAMING = 4
    HOST = 8
    COOKIE = 16
    SET_COOKIE = 32
    GATE_ONLY = 64


_KINDS: dict[bytes, int] = {
    # RFC 9110 7.6.1; Proxy-* is added in _learn().
    b"connection": FieldKind.HOP_BY_HOP | FieldKind.CONNECTION,
    b"keep-alive": FieldKind.HOP_BY_HOP,
    b"te": FieldKind.HOP_BY_HOP,
    b"trailer": FieldKind.HOP_BY_HOP,
    b"upgrade": FieldKind.HOP_BY_HOP,
    b"http2-settings": FieldKind.HOP_BY_HOP,
    b"transfer-encoding": FieldKind.HOP_BY_HOP | FieldKind.FRAMING,
    b"content-length": FieldKind.FRAMING,
    b"expect": FieldKind.FRAMING,
    b"host": FieldKind.HOST,
    b"cookie": FieldKind.COOKIE,
    b"set-cookie": FieldKind.SET_COOKIE,
    # security 29: an upstream shares the origin with the gate's own pages.
    b"clear-site-data": FieldKind.GATE_ONLY,
    b"service-worker-allowed": FieldKind.GATE_ONLY,
}
# Plain ints: an IntFlag's `&` costs a microsecond, this runs for every field of every request.
HOP_BY_HOP, CONNECTION, FRAMING, HOST, COOKIE, SET_COOKIE, GATE_ONLY = (int(kind) for kind in FieldKind)
PERSISTENCE = frozenset({b"close", b"keep-alive"})
"""The Connection options that name no field to speak of."""
_HANDLED_IN_REQUEST = HOP_BY_HOP | FRAMING | COOKIE
_DROPPED_FROM_ANSWER = HOP_BY_HOP | FRAMING | GATE_ONLY

NAMES: dict[bytes, tuple[bytes, int]] = {}
"""Spelling on the wire -> (canonical name, kind). Read it with ``NAMES.get(name) or learn(name)``."""


def learn(name: bytes) -> tuple[bytes, int]:
    """Canonical name and kind of a field name; ValueError when it is not a token (RFC 9110 5.1)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("a field name is not a token")
    canonical = bytes(name.lower().replace(b"_", b"-"))
    kind = int(_KINDS.get(canonical, 0))
    if canonical.startswith(b"proxy-"):
        kind |= HOP_BY_HOP
    if canonical.startswith(b"x-gate-"):
        kind |= GATE_ONLY
    if len(name) <= 64:
        if len(NAMES) >= _REMEMBERED:
            NAMES.clear()
        NAMES[name] = (canonical, kind)
    return canonical, kind


def canonical_name(name: bytes) -> bytes:
    """Lower case with ``-`` for ``_``; ValueError when the name is not a token."""
    return (NAMES.get(name) or learn(name))[0]


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """The options of all Connection fields, lower case, in their own spelling (``_`` is not folded)."""
    return frozenset(option for value in values for part in value.split(b",") if (option := part.strip(b" \t").lower()))


def without_named(fields: RawHeaders, options: frozenset[bytes]) -> RawHeaders:
    """``fields`` without those that Connection names; Host stays, no request is whole without it."""
    named = {option.replace(b"_", b"-") for option in options} - {b"host"}
    return [field for field in fields if canonical_name(field[0]) not in named]


def request_headers_for_upstream(
    raw_headers: RawHeaders,
    *,
    identity_names: frozenset[bytes],
    cookie_names: frozenset[bytes] = frozenset(),
    pass_authorization: bool = False,
    drop: frozenset[bytes] = frozenset(),
    set_fields: RawHeaders | tuple[tuple[bytes, bytes], ...] = (),
) -> RawHeaders:
    """What the upstream gets of a client's fields, with the gate's own ``set_fields`` after them (security 3).

    ``identity_names`` and ``drop`` are canonical (see ``canonical_name``) and go in every spelling, as do
    the client's twins of ``set_fields``, hop-by-hop fields, those that Connection names, framing, Expect,
    X-Api-Key and, unless ``pass_authorization``, Authorization. Cookies called exactly as in
    ``cookie_names`` are cut out. Raises ValueError for a name that is no token or a control character in a
    value.
    """
    removed = _removed(identity_names, drop, pass_authorization)
    own = {(NAMES.get(name) or learn(name))[0] for name, _ in set_fields}
    kept: RawHeaders = []
    connection: list[bytes] = []
    for field in raw_headers:
        name, value = field
        canonical, kind = NAMES.get(name) or learn(name)
        if canonical in removed or canonical in own:
            continue
        if kind & _HANDLED_IN_REQUEST:
            if kind & CONNECTION:
                connection.append(value)
            elif kind & COOKIE:
                left = without_cookies(value, cookie_names)
                if left:
                    kept.append((name, left))
            continue
        kept.append(field)
    if connection:
        options = connection_options(connection)
        if not options <= PERSISTENCE:
            kept = without_named(kept, options)
    kept += set_fields
    refuse_controls(kept)
    return kept


def response_headers_for_client(raw_headers: RawHeaders, *, cookie_names: frozenset[bytes]) -> RawHeaders:
    """What the client gets of an upstream's fields; framing is the surface's own.

    Dropped: hop-by-hop fields and those that Connection names, Content-Length, Set-Cookie of
    ``cookie_names``, X-Gate-*, Clear-Site-Data, Service-Worker-Allowed (security 29). Raises ValueError for
    a name that is no token or a control character in a value.
    """
    kept: RawHeaders = []
    connection: list[bytes] = []
    for field in raw_headers:
        kind = (NAMES.get(field[0]) or learn(field[0]))[1]
        if not kind:
            kept.append(field)
        elif kind & CONNECTION:
            connection.append(field[1])
        elif kind & SET_COOKIE:
            if cookie_set_by(field[1]) not in cookie_names:
                kept.append(field)
        elif not kind & _DROPPED_FROM_ANSWER:
            kept.append(field)
    if connection:
        kept = without_named(kept, connection_options(connection))
    refuse_controls(kept)
    return kept


def without_cookies(value: bytes, names: frozenset[bytes]) -> bytes:
    """A Cookie value without the cookies called ``names`` (exact, case-sensitive); b"" when none is left."""
    if not any(name in value for name in names):
        return value
    pairs = value.split(b";")
    kept = [pair for pair in pairs if pair.partition(b"=")[0].strip(b" \t") not in names]
    if len(kept) == len(pairs):
        return value
    rest = b";".join(kept).lstrip(b" \t")
    return rest if rest.strip(b"; \t") else b""


def cookie_set_by(value: bytes) -> bytes:
    """The name under which a browser would send back what this Set-Cookie value sets.

    A nameless cookie (``=gate=x`` or just ``gate``) comes back as its bare value, so it can pose as a named
    one: leading ``=`` are skipped (RFC 6265bis 5.6).
    """
    return value.partition(b";")[0].lstrip(b"= \t").partition(b"=")[0].strip(b" \t")


def refuse_controls(fields: RawHeaders) -> None:
    """Raise ValueError when a value holds a control character other than a tab."""
    values = b"".join([value for _, value in fields])
    if len(values.translate(None, _CONTROLS)) != len(values):
        raise ValueError("a field value holds a control character")


@lru_cache(maxsize=256)
def _removed(identity_names: frozenset[bytes], drop: frozenset[bytes], pass_authorization: bool) -> frozenset[bytes]:
    credentials = {b"x-api-key"} if pass_authorization else {b"x-api-key", b"authorization"}
    return frozenset(canonical_name(name) for name in identity_names | drop) | credentials
