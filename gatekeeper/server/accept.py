"""The way in: takes connections off one listening socket, learns who is there, and gives them their protocol.

Made by ``gatekeeper.doors``. In this order: the bounds of ``crowd``, the head of the Proxy Protocol, TLS. What fails
there is closed without a word and counted; nothing of it is left on the connection afterwards, so a request costs the
same however its connection came in.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from gatekeeper.inbound import Arrival, TrustedProxies
from gatekeeper.server.crowd import Accepted, Crowd, Refusal
from gatekeeper.server.proxy_protocol import LONGEST, BadHead, HeadReader, Introduction

MOST_AT_ONCE: Final = 64  # accepted before requests get their turn
BREATHER: Final = 0.5  # seconds without accepting once descriptors have run out
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TLS_FAREWELL: Final = 3.0  # seconds for a client to answer a close_notify
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a refused connection is reset and leaves no TIME_WAIT here

_log = logging.getLogger("gatekeeper.server")


@dataclass(frozen=True, slots=True)
class Manner:
    """How connections come in at one listener. ``tls`` None: in clear.

    ``scheme`` is that of an Arrival, ``handshake`` the seconds for a head of the Proxy Protocol, and again for TLS.
    """

    handshake: float
    scheme: str | None = None
    tls: ssl.SSLContext | None = None
    proxy_protocol: bool = False


class Acceptor:
    """One listening socket. ``serve`` makes a connection's protocol, ``on_refused`` hears of those that get none."""

    def __init__(
        self,
        listener: socket.socket,
        manner: Manner,
        serve: Callable[[Arrival], asyncio.BaseProtocol],
        crowd: Crowd,
        trusted: TrustedProxies,
        on_refused: Callable[[Refusal], None],
    ) -> None:
        self._listener = listener
        self._manner = manner
        self._serve = serve
        self._crowd = crowd
        self._trusted = trusted
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Task[None], Accepted] = {}
        self._breather: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take connections from now on; the socket listens already."""
        self._breather = None
        self._loop.add_reader(self._listener.fileno(), self._ready)

    def stop(self) -> None:
        """Take no more and let go of the socket; those that are being opened go on."""
        if self._breather is not None:
            self._breather.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    async def close(self, patience: float = 0.0) -> None:
        """Give up on those that are still being opened after ``patience`` seconds."""
        if self._opening and patience:
            await asyncio.wait(self._opening, timeout=patience)
        for one in self._opening.values():
            # A handshake that is cancelled leaves its transport behind; one whose socket ends does not.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _ready(self) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                raw, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as fault:
                if fault.errno in _EXHAUSTED:
                    self._pause(fault)
                    return
                continue  # it has gone before it came (ECONNABORTED and its like, accept(2))
            self._take(raw, peer[0] if isinstance(peer, tuple) else "")

    def _pause(self, fault: OSError) -> None:
        """Without descriptors ``accept`` would fail again at once, for ever."""
        _log.error("no connection can be accepted: %s", fault.strerror)
        self._on_refused(Refusal.DESCRIPTORS)
        self._loop.remove_reader(self._listener.fileno())
        self._breather = self._loop.call_later(BREATHER, self.start)

    def _take(self, raw: socket.socket, peer: str) -> None:
        if self._crowd.full:
            self._refuse(raw, Refusal.FULL)
            return
        one, manner = Accepted.of(raw, self._crowd), self._manner
        if manner.proxy_protocol:
            known = self._trusted.peer(peer)
            if known is None or not known[1]:
                self._refuse(one, Refusal.PROXY_PROTOCOL)
                return
        elif not one.belongs_to(peer):
            self._refuse(one, Refusal.ADDRESS)
            return
        task = self._loop.create_task(self._open(one, peer))
        self._opening[task] = one
        task.add_done_callback(self._opening.pop)

    def _refuse(self, one: socket.socket, why: Refusal) -> None:
        self._on_refused(why)
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        one.close()

    async def _open(self, one: Accepted, peer: str) -> None:
        arrival: Arrival | None = Arrival(peer, self._manner.scheme)
        if self._manner.proxy_protocol:
            arrival = await self._introduced(one, peer)
        if arrival is not None:
            await self._hand_on(one, arrival)

    async def _introduced(self, one: Accepted, proxy: str) -> Arrival | None:
        """Who stands behind the trusted ``proxy``; None where the connection has been refused."""
        try:
            async with asyncio.timeout(self._manner.handshake):
                source = (await read_head(one)).source
        except (BadHead, OSError, TimeoutError):
            self._refuse(one, Refusal.PROXY_PROTOCOL)
            return None
        if source is None:
            return Arrival(proxy, self._manner.scheme, believed=False)
        if not one.belongs_to(str(source)):
            self._refuse(one, Refusal.ADDRESS)
            return None
        return Arrival(str(source), self._manner.scheme)

    async def _hand_on(self, one: Accepted, arrival: Arrival) -> None:
        tls = self._manner.tls
        patience = {} if tls is None else {"ssl_handshake_timeout": self._manner.handshake}
        farewell = {} if tls is None else {"ssl_shutdown_timeout": _TLS_FAREWELL}
        try:
            await self._loop.connect_accepted_socket(
                partial(self._serve, arrival), one, ssl=tls, **patience, **farewell
            )
        except OSError:  # ssl.SSLError, its time-outs and resets are
            if tls is not None:
                self._on_refused(Refusal.TLS)
            one.close()


async def read_head(one: socket.socket) -> Introduction:
    """The head of the Proxy Protocol on a non-blocking socket, and not a byte more.

    Raises BadHead or OSError; takes as long as the other side does.
    """
    loop, reader = asyncio.get_running_loop(), HeadReader()
    while reader.introduction is None:
        try:
            waiting = one.recv(LONGEST, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(loop, one)
            continue
        if not waiting:
            raise BadHead("the connection ended")
        one.recv(reader.look(waiting))
    return reader.introduction


async def _readable(loop: asyncio.AbstractEventLoop, one: socket.socket) -> None:
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(one.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_reader(one.fileno())
