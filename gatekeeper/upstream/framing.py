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
    RawHeaders,
    connection_options,
    learn,
    without_named,
)


class BodyKind(Enum):
    """What ends the body."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


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
    options: frozenset[bytes] = frozenset()
    for field in fields:
        name, value = field
        canonical, kind = NAMES.get(name) or learn(name)
        if not kind & (FRAMING | HOP_BY_HOP):
            end_to_end.append(field)
        elif kind & CONNECTION:
            options |= connection_options((value,))
        elif canonical == b"content-length":
            lengths.append(value)
        elif canonical == b"transfer-encoding":
            codings.append(value)
    if options and not options <= {b"close", b"keep-alive"}:
        end_to_end = without_named(end_to_end, options)
    length = _length(lengths)
    chunked = _chunked(codings)
    if chunked and (length is not None or not http_1_1):
        raise ValueError("contradictory framing")
    keep_alive = b"close" not in options and (http_1_1 or b"keep-alive" in options)
    if asked_head or status in {204, 304}:
        # A server that sends the body all the same would have it read as the next caller's answer.
        promised = bool(chunked or (length and status != 304))
        return Framing(BodyKind.NONE, length, keep_alive and not promised, end_to_end)
    if chunked:
        return Framing(BodyKind.CHUNKED, None, keep_alive, end_to_end)
    if length is not None:
        return Framing(BodyKind.LENGTH, length, keep_alive, end_to_end)
    return Framing(BodyKind.CLOSE, None, False, end_to_end)


def _length(values: list[bytes]) -> int | None:
    if not values:
        return None
    digits = values[0].strip(b" \t")
    # RFC 9112 6.3 lets equal twins pass; no honest server sends them. 18 digits stay below 2**63.
    if len(values) > 1 or not digits.isdigit() or len(digits) > 18:
        raise ValueError("a bad Content-Length")
    return int(digits)


def _chunked(values: list[bytes]) -> bool:
    if not values:
        return False
    if len(values) > 1 or values[0].strip(b" \t").lower() != b"chunked":
        raise ValueError("an unknown Transfer-Encoding")
    return True
