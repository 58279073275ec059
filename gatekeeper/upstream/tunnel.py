"""Two sockets spliced into one after a 101 (RFC 9110 7.8): bytes as they come, both ways, with back-pressure.

``upstream.connection`` parks the socket of an upstream that switched protocols, ``surfaces.tunnel`` that of the
client; ``Tunnel`` joins them. There is no task a tunnel and no time limit on a silent one: TCP keep-alive finds
the peers that are gone, and ``gatekeeper.live`` ends a tunnel with its session.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

HALF_OPEN: Final = 5.0  # seconds for one side to end, or to take what is left, after the other has
FAREWELL: Final = 1.0  # seconds for a client to answer a close frame
_WRITE_AHEAD: Final = 64 << 10  # bytes that may wait for a slow reader before the other side is left unread
_PROBES: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
_RESET: Final = struct.pack("ii", 1, 0)
_CLOSE_OPCODE: Final = 8
_LONGEST_REASON: Final = 123  # RFC 6455 5.5: a control frame carries 125 bytes, two are the code


class Frames:
    """Where the WebSocket frames of one direction begin (RFC 6455 5.2); payloads are skipped by their length."""

    __slots__ = ("_head", "_left", "ended")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current frame that are still to come
        self._head = b""  # of a header that is not complete
        self.ended = False  # a close frame has passed: nothing may follow it

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may begin here."""
        return not self._left and not self._head

    def follow(self, data: bytes) -> None:
        """Take note of bytes that pass."""
        if self._head:
            data, self._head = self._head + data, b""
        at, size = self._left, len(data)
        while at < size:
            rest = size - at
            length = data[at + 1] if rest > 1 else 0
            head = 6 if length & 0x80 else 2
            length &= 0x7F
            extended = 0 if length < 126 else 2 if length == 126 else 8
            if rest < 2 + extended:
                self._head, self._left = data[at:], 0
                return
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
            if data[at] & 0x0F == _CLOSE_OPCODE:
                self.ended = True
            at += head + extended + length
        self._left = at - size


def close_frame(code: int, reason: str) -> bytes:
    """An unmasked close frame (RFC 6455 5.5.1); ``reason`` is cut where it is too long."""
    payload = struct.pack("!H", code) + reason.encode()[:_LONGEST_REASON]
    return bytes([0x80 | _CLOSE_OPCODE, len(payload)]) + payload


def reset(transport: asyncio.Transport) -> None:
    """Close with RST, so that nothing looks complete that is not."""
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def probe_peer(transport: asyncio.Transport) -> None:
    """TCP keep-alive: a peer that vanished without a word is noticed within two minutes, however long all is silent."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6} or transport.is_closing():
        return
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES:
            option = getattr(socket, name, None)  # not every system has all of them
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Parked(asyncio.Protocol):
    """A socket on its way into a tunnel: left unread; what came all the same is ``early``."""

    __slots__ = ("blocked", "early", "ended", "lost", "transport")

    def __init__(self, transport: asyncio.Transport, early: bytes = b"", *, blocked: bool = False) -> None:
        self.transport = transport
        self.early = early
        self.blocked = blocked  # the socket has told its last owner to write no more for now
        self.ended = False
        self.lost = transport.is_closing()
        transport.set_protocol(self)
        if not self.lost:
            transport.pause_reading()

    def abort(self) -> None:
        """There will be no tunnel."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.early += data

    def eof_received(self) -> bool:
        self.ended = True
        return self.transport.can_write_eof()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost = True

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False


@dataclass(frozen=True, slots=True)
class Switched:
    """An upstream that has switched: to ``protocol`` (as it spelled it), on ``socket``."""

    protocol: bytes
    socket: Parked


class _Side(asyncio.Protocol):
    """One side of a tunnel."""

    __slots__ = ("_frames", "_tunnel", "_write", "blocked", "gone", "other", "shut", "transport")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, frames: Frames | None) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self._frames = frames
        self.shut = False  # nothing can be written to it any more
        self.gone = False  # it is closed
        self.blocked = False  # what was written waits for a slow reader
        self.other: _Side = self

    def join(self, other: _Side) -> None:
        """What comes here goes there."""
        self.other = other
        self._write = other.transport.write

    def part(self) -> None:
        """It is over: leave no cycle for the collector."""
        del self._tunnel, self._write, self.other

    def close(self) -> None:
        """Close it after what was written; asyncio's TLS forgets itself when that is said twice."""
        self.shut = True
        if not self.transport.is_closing():
            self.transport.close()

    @property
    def unsent(self) -> int:
        """Bytes that wait for this side to read."""
        return 0 if self.gone else self.transport.get_write_buffer_size()

    def begin(self, parked: Parked) -> None:
        """Take the socket over; called once both sides are joined."""
        transport = self.transport
        probe_peer(transport)
        transport.set_write_buffer_limits(high=_WRITE_AHEAD)
        transport.set_protocol(self)
        self.blocked = parked.blocked
        if parked.early and not self.other.transport.is_closing():
            self.data_received(parked.early)
        if parked.ended and not self.eof_received():
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._frames is not None:
            self._frames.follow(data)
        self._write(data)

    def eof_received(self) -> bool:
        return self._tunnel.half_closed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.lost(self, exc)

    def pause_writing(self) -> None:
        self.blocked = True
        transport = self.other.transport
        if not transport.is_closing():
            transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        self.other.read_on()

    def read_on(self) -> None:
        """Read, unless this side has ended or the other takes nothing."""
        if not (self.other.blocked or self.other.shut or self.transport.is_closing()):
            self.transport.resume_reading()


class _Leaving(asyncio.Protocol):
    """A client that was sent a close frame: what it still says is thrown away."""

    __slots__ = ("_side", "_tunnel")

    def __init__(self, tunnel: Tunnel, side: _Side) -> None:
        self._tunnel = tunnel
        self._side = side

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.lost(self._side, exc)


class Tunnel:
    """Joins two parked sockets until either ends; ``on_end`` is called once, when both are closed.

    ``framed`` says that WebSocket is spoken: then the frames towards the client are followed (never changed), so
    that ``close`` can say why.
    """

    __slots__ = ("_client", "_frames", "_leaving", "_left", "_loop", "_on_end", "_timer", "_unsent", "_upstream")

    def __init__(self, client: Parked, upstream: Parked, *, framed: bool, on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames() if framed else None
        self._on_end = on_end
        self._client = _Side(self, client.transport, None)
        self._upstream = _Side(self, upstream.transport, self._frames)
        self._left = 2
        self._leaving = False
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._client.join(self._upstream)
        self._upstream.join(self._client)
        for side, parked in ((self._client, client), (self._upstream, upstream)):
            if parked.lost:
                self._loop.call_soon(self.lost, side, None)
            else:
                side.begin(parked)
        self._client.read_on()
        self._upstream.read_on()

    def close(self, code: int, reason: str) -> None:
        """End it from here: a WebSocket client is told ``code`` and ``reason`` between two frames, else reset."""
        if self._leaving or not self._left:
            return
        self._leaving = True
        self._upstream.transport.abort()
        client, frames = self._client, self._frames
        transport = client.transport
        if frames is None or not frames.at_boundary or client.shut or transport.is_closing():
            reset(transport)
            return
        transport.set_protocol(_Leaving(self, client))
        if not frames.ended:
            transport.write(close_frame(code, reason))
        if self._upstream.shut:  # the client has said its last
            client.close()
        else:
            if transport.can_write_eof():
                transport.write_eof()
            transport.resume_reading()  # unread bytes would turn the end into a reset
        self._end_within(FAREWELL)

    # For the sides

    def half_closed(self, side: _Side) -> bool:
        """One side will send no more: tell the other, which may send the rest; whether ``side`` may stay open."""
        other = side.other
        both = other.transport.is_closing() or side.shut
        if both or not other.transport.can_write_eof():
            other.close()
        elif not other.shut:
            other.shut = True
            other.transport.write_eof()
        self._end_within(HALF_OPEN)
        return not both and side.transport.can_write_eof()

    def lost(self, side: _Side, exc: Exception | None) -> None:
        """One socket is closed: so is the other, after what it was sent."""
        self._left -= 1
        side.shut = side.gone = True
        if self._left:
            if self._leaving:
                return
            if exc is None:
                side.other.close()
                self._end_within(HALF_OPEN)
            else:
                reset(side.other.transport)
        else:
            if self._timer is not None:
                self._timer.cancel()
            self._client.part()
            self._upstream.part()
            self._on_end()

    def _end_within(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._unsent = self._client.unsent + self._upstream.unsent
        self._timer = self._loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        """Cut off what has not ended, unless a slow reader is still taking the rest."""
        if not self._leaving and self._client.unsent + self._upstream.unsent < self._unsent:
            self._end_within(HALF_OPEN)
            return
        for side in (self._client, self._upstream):
            side.transport.abort()
