"""The Proxy Protocol (haproxy.org, proxy-protocol.txt), versions 1 and 2: who stands behind a proxy that relays bytes.

Read by ``server.accept`` before anything else on a connection, TLS included. ``HeadReader`` is pure: it is shown what
the socket holds and says how much of it to take, so that no byte behind the head is ever read.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final

from gatekeeper.inbound import parse_address
from policies.model import Address

LONGEST: Final = 4096  # bytes of a head; version 1 has at most 107, version 2 with certificates in its TLVs about 2,000

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = len(_SIGNATURE) + 4
_LONGEST_LINE: Final = 107
_PREFIX: Final = b"PROXY "
# Ports and both addresses are checked though only the source is used: a head that is not exactly right is none.
_LINE: Final = re.compile(
    rb"PROXY (?:(UNKNOWN)(?: [ -~]*)?|(TCP[46]) ([0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45}) ([0-9]{1,5}) ([0-9]{1,5}))"
)
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESSES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}  # TCP over IPv4 and IPv6
_NAMELESS: Final = {0x00: 0, 0x31: 216}  # unspecified, unix stream sockets: the bytes of their addresses


class BadHead(ValueError):
    """What came is no head of the Proxy Protocol."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """Whom the proxy speaks for; None where it does not say (LOCAL, UNKNOWN, a unix socket)."""

    source: Address | None


class HeadReader:
    """Reads one head, however it is cut up. ``introduction`` is there once it is whole."""

    def __init__(self) -> None:
        self._got = b""
        self.introduction: Introduction | None = None

    def look(self, waiting: bytes) -> int:
        """How many of the ``waiting`` bytes, at least one of them, belong to the head. Raises BadHead."""
        known, start = len(self._got), (self._got + waiting)[:_FIXED]
        if start.startswith(_PREFIX):
            whole = self._line(self._got + waiting)
        elif start.startswith(_SIGNATURE):
            whole = self._binary(self._got + waiting)
        elif _PREFIX.startswith(start) or _SIGNATURE.startswith(start):
            whole = len(start)
        else:
            raise BadHead("neither version begins so")
        take = min(whole - known, len(waiting))
        self._got += waiting[:take]
        return take

    def _line(self, data: bytes) -> int:
        """Version 1: a line of ASCII; up to its end all that waits is the line's."""
        end = data.find(b"\r\n", 0, _LONGEST_LINE)
        if end < 0:
            if len(data) >= _LONGEST_LINE:
                raise BadHead("the line does not end")
            return len(data)
        match = _LINE.fullmatch(data[:end])
        if match is None:
            raise BadHead("the line is malformed")
        if match[1]:
            self.introduction = Introduction(None)
            return end + 2
        source, destination = (_textual(match[group], match[2]) for group in (3, 4))
        if source is None or destination is None or max(int(match[5]), int(match[6])) > 0xFFFF:
            raise BadHead("the line names no addresses")
        self.introduction = Introduction(source)
        return end + 2

    def _binary(self, data: bytes) -> int:
        """Version 2: a fixed part that says how long the rest is."""
        if len(data) < _FIXED:
            return _FIXED
        command, family = data[12], data[13]
        size = _FIXED + int.from_bytes(data[14:16], "big")
        if command not in {_LOCAL, _PROXY} or size > LONGEST:
            raise BadHead("unknown version or command, or too long")
        if len(data) >= size:
            self.introduction = Introduction(None if command == _LOCAL else _source(family, data[_FIXED:size]))
        return size


def _textual(text: bytes, family: bytes) -> Address | None:
    address = parse_address(text.decode("ascii"))
    return address if address is not None and (b":" in text) == (family == b"TCP6") else None


def _source(family: int, block: bytes) -> Address | None:
    """The source in a block of addresses; TLVs behind it are skipped."""
    if family in _NAMELESS and len(block) >= _NAMELESS[family]:
        return None
    if family not in _ADDRESSES:
        raise BadHead("no stream of a known family")
    kind, length = _ADDRESSES[family]
    if len(block) < 2 * length + 4:
        raise BadHead("the addresses are cut short")
    return parse_address(socket.inet_ntop(kind, block[:length]))
