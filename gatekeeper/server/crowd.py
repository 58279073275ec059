"""How many connections there may be, and whose. One ``Crowd`` a worker; asked by ``server.accept``.

A connection holds its place from ``accept`` until its descriptor is let go, whatever protocols, TLS or tunnels it
passes through meanwhile: the socket object itself gives the place back.
"""

from __future__ import annotations

import socket
from enum import StrEnum
from typing import Self

from gatekeeper.inbound import TrustedProxies, rate_key


class Refusal(StrEnum):
    """Why a connection is closed before any request; the label of ``gatekeeper_connections_refused_total``."""

    FULL = "full"
    ADDRESS = "address"
    PROXY_PROTOCOL = "proxy-protocol"
    TLS = "tls"
    DESCRIPTORS = "descriptors"


class Crowd:
    """Counts connections. ``per_address`` bounds those of one address (IPv6: one /64) unless it is a trusted proxy."""

    def __init__(self, trusted: TrustedProxies, *, per_address: int, most: int) -> None:
        self._trusted = trusted
        self._per_address = per_address
        self._most = most
        self._of: dict[str, int] = {}
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether nobody else gets in."""
        return self.size >= self._most

    def enter(self, peer: str) -> str | None:
        """Count one more of this address; the name it is counted under ("": not at all), None where that is too many.

        What it returns is to be given to ``leave``.
        """
        known = self._trusted.peer(peer)
        if known is None or known[1]:
            return ""
        key = rate_key(known[0])
        count = self._of.get(key, 0)
        if count >= self._per_address:
            return None
        self._of[key] = count + 1
        return key

    def leave(self, key: str) -> None:
        """One less."""
        left = self._of.get(key, 0) - 1
        if left > 0:
            self._of[key] = left
        else:
            self._of.pop(key, None)


class Accepted(socket.socket):
    """A client's socket, and its place in the crowd. uvloop lets go of a socket by ``detach``, asyncio by ``close``."""

    __slots__ = ("_crowd", "_key")
    _crowd: Crowd
    _key: str

    @classmethod
    def of(cls, raw: socket.socket, crowd: Crowd) -> Self:
        """The same socket, now counted; ``raw`` is spent."""
        one = cls(raw.family, raw.type, raw.proto, fileno=raw.detach())
        one.setblocking(False)
        one._crowd = crowd
        one._key = ""
        crowd.size += 1
        return one

    def belongs_to(self, peer: str) -> bool:
        """Count it as one of this address; False where that has too many."""
        key = self._crowd.enter(peer)
        self._key = key or ""
        return key is not None

    def close(self) -> None:
        """As ever, and give the place back."""
        self._give_back()
        super().close()

    def detach(self) -> int:
        """As ever, and give the place back."""
        self._give_back()
        return super().detach()

    def _give_back(self) -> None:
        if self.fileno() >= 0:
            self._crowd.size -= 1
            if self._key:
                self._crowd.leave(self._key)
