"""The one canonical request target. Called by ``inbound.request`` for what was sent and by the verify surfaces
for what they are asked about; policy decides on the result and the upstream gets the very same string.

What could mean one thing here and another behind the gate is refused, not repaired (security 1). Triplets of
unreserved characters are decoded (RFC 3986 6.2.2.2); everything else stays as it was sent.
"""

from __future__ import annotations

import re
from typing import Final

from gatekeeper.inbound.hosts import parse_host
from policies.model import RequestTarget

#: RFC 8414 3: the one path outside the prefix that is the gate's own.
WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
MAX_TARGET: Final = 8192  # bytes; RFC 9110 4.1 asks for 8,000 at least
_MAX_LAYERS: Final = 4  # of percent-encoding upon itself

# A path of plain segments, none of which begins with a dot, and perhaps a query: nothing to decode or to refuse.
# Each round of the group begins with its own "/", so there is one way to match and no backtracking.
_SEGMENT: Final = r"[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*+"
_PLAIN: Final = re.compile(rf"((?:/{_SEGMENT})*+/?)(?:\?([!-~]*))?")

_QUERY: Final = re.compile(r"[!-~]*")
# Controls, blank, DEL, anything outside ASCII, "\" and "#"; a "%" without two hex digits; encoded controls,
# DEL and "\". The slash, the semicolon and empty segments are asked for apart, since a rule may allow them.
_REFUSED: Final = re.compile(r"[^!-~]|[\\#]|%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff]|5[Cc])")
_ENCODED_SLASH: Final = re.compile(r"%2[Ff]")
_UNRESERVED: Final = re.compile(r"%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
_TRIPLET: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_SEPARATORS: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset({".", ".."})

ALLOWABLE: Final = frozenset({"%2f", ";", "//"})  # what a rule may let through


def canonical_target(
    raw: str | bytes, *, scheme: str, host_field: str, allow: frozenset[str] = frozenset()
) -> RequestTarget | None:
    """The target in canonical form, or None where it is refused with 400.

    ``raw`` is the request target as it stood on the wire; only origin-form is taken (RFC 9112 3.2.1), so
    absolute-form, authority-form and ``*`` are None. ``scheme`` is http or https, ``host_field`` a Host field's
    value. ``allow`` holds members of ``ALLOWABLE``. Applied to its own result it changes nothing.
    """
    host = parse_host(host_field)
    if host is None:
        return None
    if isinstance(raw, bytes):
        raw = raw.decode("latin-1")
    found = split_target(raw, allow)
    return None if found is None else RequestTarget(scheme, host[0], host[1], found[0], found[1])


def split_target(raw: str, allow: frozenset[str] = frozenset()) -> tuple[str, str | None] | None:
    """Canonical path and query of an origin-form target, or None where it is refused."""
    if len(raw) > MAX_TARGET:
        return None
    plain = _PLAIN.fullmatch(raw)
    if plain is not None and plain[1]:
        return plain.group(1, 2)  # type: ignore[return-value]  # group 1 took part, group 2 may be None
    path, mark, query = raw.partition("?")
    if not _QUERY.fullmatch(query):
        return None
    canonical = canonical_path(path, allow)
    return None if canonical is None else (canonical, query if mark else None)


def canonical_path(path: str, allow: frozenset[str] = frozenset()) -> str | None:
    """A path without its query in canonical form, or None where it is refused."""
    if not path.startswith("/") or _REFUSED.search(path):
        return None
    if ";" in path and ";" not in allow:
        return None
    if "//" in path and "//" not in allow:
        return None
    if "%" in path:
        if "%2f" not in allow and _ENCODED_SLASH.search(path):
            return None
        path = _UNRESERVED.sub(_decode, path)
    return path if _climbs_nowhere(path) else None


def _decode(triplet: re.Match[str]) -> str:
    return chr(int(triplet[1], 16))


def _climbs_nowhere(path: str) -> bool:
    """Whether no dot segment appears, however often somebody behind the gate decodes the path.

    One decoding is what the standard allows; servers that do another, that take a backslash for a slash or that
    cut ``;parameters`` off segments exist all the same.
    """
    if "/." not in path and "%2" not in path:
        return True
    for _ in range(_MAX_LAYERS):
        for segment in _SEPARATORS.split(path):
            if segment.startswith(".") and segment.partition(";")[0] in _DOTS:
                return False
        decoded = _TRIPLET.sub(_decode, path) if "%" in path else path
        if decoded == path:
            return True
        path = decoded
    return False
