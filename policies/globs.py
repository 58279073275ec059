"""Path globs of rules: ``*`` within a segment, ``**`` any number of segments. Used by ``policies.rules``.

No regular expressions and no recursion: a match costs at most (segments of the path) x (segments of the
glob) comparisons, whatever a client sends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from policies.patterns import PathRegex

ANY_DEPTH: Final = "**"
MAX_LENGTH: Final = 1024
MAX_SEGMENTS: Final = 32

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 2.3
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_LITERAL_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))
_NEVER_SENT: Final = {
    "\\": "a backslash",
    ";": "a semicolon",
    "#": "a fragment (#)",
    "?": "a query (?); the query never decides",
    "%2F": "an encoded slash (%2f)",
    "%5C": "an encoded backslash (%5c)",
    "%7F": "a control character (%7f)",
}


@dataclass(frozen=True, slots=True)
class Glob:
    """A path pattern in canonical form; ``segments`` are what stands between the slashes."""

    text: str
    segments: tuple[str, ...]

    @property
    def literal_segments(self) -> tuple[str, ...]:
        """The segments before the first wildcard."""
        for index, segment in enumerate(self.segments):
            if "*" in segment:
                return self.segments[:index]
        return self.segments

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the segments of a canonical path fit, the whole of them."""
        pattern, at, position, resume, mark = self.segments, 0, 0, -1, 0
        while position < len(path):
            if at < len(pattern) and pattern[at] == ANY_DEPTH:
                resume, mark, at = at, position, at + 1
            elif at < len(pattern) and segment_matches(pattern[at], path[position]):
                at, position = at + 1, position + 1
            elif resume >= 0:  # let the last ** take one segment more; earlier ones need no second look
                mark += 1
                at, position = resume + 1, mark
            else:
                return False
        return all(segment == ANY_DEPTH for segment in pattern[at:])

    def covers(self, other: Glob | PathRegex) -> bool:
        """Whether every path that ``other`` matches is matched here too. Sound, not complete."""
        if self.segments == other.segments:
            return True
        mine, open_ended = self.segments, self.segments[-1] == ANY_DEPTH
        if open_ended:
            mine = mine[:-1]
        theirs = other.segments
        if ANY_DEPTH in mine or len(theirs) < len(mine) or (not open_ended and len(theirs) != len(mine)):
            return False
        return all(_segment_covers(pattern, theirs[index]) for index, pattern in enumerate(mine))


def split_path(path: str) -> list[str]:
    """The segments of a canonical path, with the hex digits of what stays encoded in upper case (RFC 3986 6.2.2.1)."""
    if "%" in path:
        path = _ESCAPE.sub(lambda escape: escape[0].upper(), path)
    return path[1:].split("/")


def segment_matches(pattern: str, segment: str) -> bool:
    """Whether one segment fits a pattern in which ``*`` stands for any characters, none included."""
    if "*" not in pattern:
        return pattern == segment
    first, *middle, last = pattern.split("*")
    end = len(segment) - len(last)
    if end < len(first) or not segment.startswith(first) or not segment.endswith(last):
        return False
    position = len(first)
    for part in middle:
        position = segment.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def parse_glob(text: str) -> Glob:
    """A glob in the form that canonical request paths have.

    Raises ValueError, in words for an operator, where no request that the gate accepts could match.
    """
    if not text.startswith("/"):
        raise ValueError("a path starts with /")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a path has at most {MAX_LENGTH} characters")
    canonical = _canonical(text)
    segments = _segments(canonical)
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"a path has at most {MAX_SEGMENTS} segments")
    return Glob("/" + "/".join(segments), segments)


def _canonical(text: str) -> str:
    if " " in text:
        raise ValueError("a blank never stands in a request's path; write %20")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError("a control character never stands in a request's path")
    if "%" in _ESCAPE.sub("", text):
        raise ValueError("a % is followed by two hex digits; write %25 for a percent sign itself")
    canonical = _ESCAPE.sub(_decode_once, quote(text, safe=_LITERAL_SAFE))
    for piece, words in _NEVER_SENT.items():
        if piece in canonical:
            raise ValueError(f"requests with {words} are refused, so this never matches")
    if re.search(r"%[01][0-9A-F]", canonical):
        raise ValueError("requests with an encoded control character are refused, so this never matches")
    return canonical


def _decode_once(escape: re.Match[str]) -> str:
    byte = int(escape[1], 16)
    return chr(byte) if byte in _UNRESERVED else escape[0].upper()


def _segments(canonical: str) -> tuple[str, ...]:
    segments: list[str] = []
    parts = canonical[1:].split("/")
    for index, part in enumerate(parts):
        if not part and index < len(parts) - 1:
            raise ValueError("requests with // are refused, so this never matches")
        if part in {".", ".."}:
            raise ValueError("requests with dot segments are refused, so this never matches")
        if part == ANY_DEPTH:
            if segments and segments[-1] == ANY_DEPTH:
                continue
        elif ANY_DEPTH in part:
            raise ValueError("** stands for whole segments: /a/**/b, not /a**; within a segment use *")
        segments.append(part)
    return tuple(segments)


def _segment_covers(pattern: str, other: str) -> bool:
    if other == ANY_DEPTH:
        return False
    if "*" not in other:
        return segment_matches(pattern, other)
    return pattern in {"*", other}
