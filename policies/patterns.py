"""Patterns of rules that are no path globs: regular expressions over paths, and globs over plain values.

Used by ``policies.rules`` and ``policies.criteria``. Regular expressions run in RE2: its time is linear in the length
of the path whatever the expression, so no client can make the gate think for long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from policies.globs import ANY_DEPTH, Glob, segment_matches

REGEX: Final = "regex:"
MAX_REGEX: Final = 1024  # characters
_MEMORY: Final = 1 << 20  # bytes for one compiled expression
#: Whole literal segments at the beginning. What follows the last slash may repeat or leave out only itself.
_LITERAL: Final = re.compile(r"((?:/[A-Za-z0-9_~-]+)*)/(?![?*+{])")


@dataclass(frozen=True, slots=True)
class PathRegex:
    """A regular expression over a whole canonical path, the hex digits of what stays encoded in upper case.

    ``bound`` is a glob that matches every path that this matches: where the index keeps it.
    """

    text: str
    bound: Glob
    _compiled: Any = field(repr=False, compare=False)

    @property
    def segments(self) -> tuple[str, ...]:
        """Those of ``bound``."""
        return self.bound.segments

    @property
    def literal_segments(self) -> tuple[str, ...]:
        """Those with which every path begins that matches."""
        return self.bound.literal_segments

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the segments of a canonical path fit, the whole of them."""
        return self._compiled.fullmatch("/" + "/".join(path)) is not None

    def covers(self, other: Glob | PathRegex) -> bool:
        """Whether every path that ``other`` matches is matched here too. Sound, not complete."""
        return isinstance(other, PathRegex) and other.text == self.text


def parse_regex(text: str) -> PathRegex:
    """A pattern that was written ``regex:...``. Raises ValueError, in words for an operator."""
    import re2

    expression = text.removeprefix(REGEX)
    if len(expression) > MAX_REGEX:
        raise ValueError(f"a regular expression has at most {MAX_REGEX} characters")
    if not expression.isprintable() or not expression.isascii():
        raise ValueError("paths are ASCII, what is not is percent-encoded: so is a regular expression over them")
    if not expression.removeprefix("^").startswith(("/", "(")):
        raise ValueError("a regular expression is over the whole path and begins with / (or a group)")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as fault:
        raise ValueError(f"no regular expression that RE2 takes: {_words(fault)}") from None
    return PathRegex(text, Glob("/**", (*_literal(expression), ANY_DEPTH)), compiled)


def _literal(expression: str) -> tuple[str, ...]:
    """Segments with which each match begins; none where an alternative could begin otherwise."""
    found = None if "|" in expression else _LITERAL.match(expression.removeprefix("^"))
    return tuple(found[1].split("/")[1:]) if found is not None else ()


def _words(fault: Exception) -> str:
    said = fault.args[0] if fault.args else ""
    return said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)


@dataclass(frozen=True, slots=True)
class ValuePattern:
    """A value of a query parameter or a header field: exact, or with ``*`` for any characters; None: it is absent."""

    text: str | None

    def takes(self, value: str) -> bool:
        return self.text is not None and segment_matches(self.text, value)

    def __str__(self) -> str:
        match self.text:
            case None:
                return "absent"
            case "*":
                return "present"
            case text:
                return text


def parse_value(value: str | bool) -> ValuePattern:
    """``true`` is any value, ``false`` none at all, a text itself with ``*`` for any characters."""
    if isinstance(value, bool):
        return ValuePattern("*" if value else None)
    return ValuePattern(value)
