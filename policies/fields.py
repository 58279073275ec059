"""Names of header fields that rules may not ask for or change. Used by ``policies.criteria`` and ``policies.effects``.

The gate's own, what only the gate may say of a connection, and what frames a message: a rule that could touch them
would undo what the gate promises (security 3 to 5).
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_VALUE: Final = 4096

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OF_THE_MESSAGE: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_THE_GATE: Final = frozenset(
    {
        "authorization",
        "cf-connecting-ip",
        "clear-site-data",
        "cookie",
        "forwarded",
        "service-worker-allowed",
        "set-cookie",
        "true-client-ip",
        "via",
        "x-api-key",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-real-ip",
        "x-request-id",
        "x-rewrite-url",
    }
)
_PREFIXES: Final = ("proxy-", "x-forwarded-", "x-gate-", "x-original-")


def canonical_field(name: str) -> str:
    """Lower case with ``-`` for ``_``: the spelling under which twins of a name meet."""
    return name.lower().replace("_", "-")


def check_token(name: str) -> None:
    """Raises ValueError, in words for an operator, for what is no name of a field."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header field (RFC 9110 5.1)")


def check_name(name: str) -> None:
    """Raises ValueError, in words for an operator, for a name that no rule may ask for or change."""
    check_token(name)
    canonical = canonical_field(name)
    if canonical in _OF_THE_MESSAGE:
        raise ValueError(f"{name} belongs to the connection or frames the message")
    if canonical in _OF_THE_GATE or canonical.startswith(_PREFIXES):
        raise ValueError(f"{name} is the gate's own business")


def check_value(value: str) -> None:
    """Raises ValueError for what may not stand in a field (RFC 9110 5.5)."""
    if len(value) > LONGEST_VALUE or value != value.strip(" \t") or not _VALUE.fullmatch(value):
        raise ValueError(f"a value has at most {LONGEST_VALUE} characters, no line break and no blank at its ends")
