"""The fields of a plain request's head, read once and remembered. Used by ``server.lane``.

A client repeats its fields from request to request, so what is read of them is kept by their very bytes. Read here
is only what leaves no doubt: printable ASCII, one Host, a length in digits, no coding, no upgrade, no expectation.
Everything else is None and the business of the full parser, which refuses what is malformed.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.inbound.hosts import HostPort, parse_host

MOST_REMEMBERED: Final = 1024  # heads
LONGEST_REMEMBERED: Final = 4096  # bytes of one

# RFC 9112 5: name, colon, value; obs-fold, obs-text, bare CR or LF and control characters do not match.
_FIELDS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_SINGLE: Final = ("Host", "Content-Length", "Authorization", "Connection", "X-Api-Key")
_NOT_PLAIN: Final = ("Transfer-Encoding", "Upgrade", "Expect", "HTTP2-Settings")
_PERSISTENCE: Final = {"keep-alive": True, "close": False}


class Head:
    """The fields of one head: ``raw`` as sent, in order, and ``headers`` by name; they carry credentials.

    ``length`` is that of the body. One object stands for equal fields, so it can be the key of what follows from them.
    """

    __slots__ = ("headers", "host", "keep_alive", "length", "raw")

    def __init__(
        self, raw: tuple[tuple[bytes, bytes], ...], headers: CIMultiDictProxy[str], host: HostPort, length: int
    ) -> None:
        self.raw = raw
        self.headers = headers
        self.host = host
        self.length = length
        self.keep_alive = _PERSISTENCE.get(headers.get("Connection", "keep-alive").lower(), False)


class Heads:
    """Reads heads of at most ``max_fields`` fields and remembers them; emptied when full."""

    def __init__(self, *, max_fields: int) -> None:
        self._max_fields = max_fields
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head | None:
        """The head whose field lines these are, each with its line break; None where it is not plain."""
        known = self._known.get(block)
        if known is not None:
            return known
        head = self._parse(block)
        if head is not None and len(block) <= LONGEST_REMEMBERED:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[block] = head
        return head

    def _parse(self, block: bytes) -> Head | None:
        if not _FIELDS.fullmatch(block):
            return None
        lines = block.split(b"\r\n")[:-1]
        if len(lines) > self._max_fields:
            return None
        raw = tuple((name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines))
        headers = CIMultiDict((name.decode("ascii"), value.decode("ascii")) for name, value in raw)
        return _plain(raw, CIMultiDictProxy(headers))


def _plain(raw: tuple[tuple[bytes, bytes], ...], headers: CIMultiDictProxy[str]) -> Head | None:
    if any(name in headers for name in _NOT_PLAIN):
        return None
    if any(len(headers.getall(name, ())) > 1 for name in _SINGLE):
        return None
    if "X-Api-Key" in headers and "Authorization" in headers:
        return None
    host = parse_host(headers.get("Host", ""))
    length = headers.get("Content-Length", "0")
    if host is None or not _LENGTH.fullmatch(length):
        return None
    if headers.get("Connection", "close").lower() not in _PERSISTENCE:
        return None
    return Head(raw, headers, host, int(length))
