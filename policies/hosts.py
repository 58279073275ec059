"""Hosts of rules: one name, or every name below one. Used by ``policies.rules`` and ``policies.subjects``."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host of a rule: exact, or every name below ``suffix`` (which begins with a dot)."""

    text: str
    suffix: str | None = None

    def matches(self, host: str) -> bool:
        return host == self.text if self.suffix is None else host.endswith(self.suffix) and host != self.suffix

    def covers(self, other: HostPattern) -> bool:
        """Whether every host that ``other`` matches is matched here too."""
        if self.suffix is None:
            return self == other
        return other.suffix.endswith(self.suffix) if other.suffix is not None else self.matches(other.text)


def parse_host(text: str) -> HostPattern:
    """A host of a rule, ``*.`` in front for every name below. Raises ValueError in words for an operator."""
    if text != text.lower():
        raise ValueError(f"write it in lower case: {text.lower()}")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    with contextlib.suppress(ValueError):
        return HostPattern(str(IPv6Address(text)))  # the one spelling that request targets have (RFC 5952)
    if ":" in text:
        raise ValueError("a rule's host has no scheme and no port; every port that the gate serves is meant")
    if "*" in text.removeprefix("*."):
        raise ValueError("* may only stand for whole leading labels, as in *.example.org")
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError("a host such as app.example.org or *.example.org is needed (IDNA names as xn--...)")
    return HostPattern(text, text[1:]) if text.startswith("*.") else HostPattern(text)
