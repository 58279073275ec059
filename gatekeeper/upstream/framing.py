"""How long an answer's body is and what of its head is end to end (RFC 9112 6.3). Called by ``upstream.connection``.

Stricter than the RFC where it leaves a choice: whatever two parsers could read in two ways is refused.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gatekeeper.upstream.headers import (
    CONNECTION,
    FRAMING,
    HOP_BY_HOP,
    NAMES,
    PERSISTENCE,
    RawHeaders,
    connection_options,
    learn,
    without_named,
)

_NO_OPTIONS: frozenset[bytes] = frozenset()
_USUAL_OPTIONS = {value: connection_options((value,)) for value in (b"keep-alive", b"Keep-Alive", b"close")}
_NOT_END_TO_END = FRAMING | HOP_BY_HOP


class BodyKind(Enum):
    """What ends the body."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


# Read a dozen times an answer; an Enum's attribute costs ten times a global.
_NONE, _LENGTH, _CHUNKED, _CLOSE = BodyKind


class Framing(NamedTuple):
    """``length`` is the Content-Length said, also where no body follows (HEAD, 304)."""

    kind: BodyKind
    length: int | None
    keep_alive: bool
    headers: RawHeaders


def frame_answer(status: int, http_1_1: bool, asked_head: bool, fields: RawHeaders) -> Framing:
    """Framing of a final answer (status >= 200) from all its fields; ValueError when they contradict."""
    end_to_end: RawHeaders = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options = _NO_OPTIONS
    for field in fields:
        name, value = field
        canonical, kind = NAMES.get(name) or learn(name)
        if not kind & _NOT_END_TO_END:
            end_to_end.append(field)
        elif kind & CONNECTION:
            options |= _USUAL_OPTIONS.get(value) or connection_options((value,))
        elif canonical == b"content-length":
            lengths.append(value)
        elif canonical == b"transfer-encoding":
            codings.append(value)
    if options and not options <= PERSISTENCE:
        end_to_end = without_named(end_to_end, options)
    length = _length(lengths) if lengths else None
    chunked = bool(codings) and _chunked(codings)
    if chunked and (length is not None or not http_1_1):
        raise ValueError("contradictory framing")
    keep_alive = b"close" not in options and (http_1_1 or b"keep-alive" in options)
    if asked_head or status in {204, 304}:
        # A server that sends the body all the same would have it read as the next caller's answer.
        promised = bool(chunked or (length and status != 304))
        return Framing(_NONE, length, keep_alive and not promised, end_to_end)
    if chunked:
        return Framing(_CHUNKED, None, keep_alive, end_to_end)
    if length is not None:
        return Framing(_LENGTH, length, keep_alive, end_to_end)
    return Framing(_CLOSE, None, False, end_to_end)


def switched_to(fields: RawHeaders) -> bytes | None:
    """The one protocol that a 101 names in Upgrade, with ``upgrade`` in Connection (RFC 9110 7.8); else None."""
    protocols: list[bytes] = []
    options: list[bytes] = []
    for name, value in fields:
        canonical = name.lower()
        if canonical == b"upgrade":
            protocols.append(value.strip(b" \t"))
        elif canonical == b"connection":
            options.append(value)
    return protocols[0] if len(protocols) == 1 and b"upgrade" in connection_options(options) else None


def _length(values: list[bytes]) -> int:
    digits = values[0].strip(b" \t")
    # RFC 9112 6.3 lets equal twins pass; no honest server sends them. 18 digits stay below 2**63.
    if len(values) > 1 or not digits.isdigit() or len(digits) > 18:
        raise ValueError("a bad Content-Length")
    return int(digits)


def _chunked(values: list[bytes]) -> bool:
    if len(values) > 1 or values[0].strip(b" \t").lower() != b"chunked":
        raise ValueError("an unknown Transfer-Encoding")
    return True
