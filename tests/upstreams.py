"""Upstreams for tests ("U" in security.md): raw sockets that record every byte and play what a script says.

``async with Upstream() as u`` answers each request with a small JSON body and keeps alive. Give it a script, an
``async def script(wire)`` that is run once for each connection, to do anything else: refuse, hang, reset, lie.
``u.address`` is ``http://127.0.0.1:port`` (``unix:/path`` with ``path=``); ``u.raw`` is every byte received.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


@dataclass(slots=True)
class RecordedRequest:
    """One request as it stood on the wire; ``body`` is without chunk framing."""

    head: bytes
    body: bytes = b""
    chunked: bool = False

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Name and value as received, in order."""
        lines = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        return [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]

    def values(self, name: bytes) -> list[bytes]:
        """Values of all fields called so, in any case."""
        return [value for other, value in self.fields if other.lower() == name.lower()]


@dataclass(slots=True)
class Wire:
    """One accepted connection, for scripts."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: Upstream
    number: int
    received: bytearray = field(default_factory=bytearray)
    requests: list[RecordedRequest] = field(default_factory=list)

    async def read(self, size: int = 65536) -> bytes:
        """What arrives next; b"" when the peer has closed."""
        data = await self.reader.read(size)
        self.received += data
        return data

    async def head(self) -> RecordedRequest | None:
        """The next request's head; None when the peer closed instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.received += getattr(error, "partial", b"")
            return None
        self.received += head
        request = RecordedRequest(head)
        self.requests.append(request)
        self.upstream.requests.append(request)
        return request

    async def request(self) -> RecordedRequest | None:
        """The next request with its body; None when the peer closed before its end."""
        request = await self.head()
        if request is None:
            return None
        try:
            if request.values(b"transfer-encoding"):
                request.chunked = True
                while size := int(await self._line(), 16):
                    request.body += (await self._exactly(size + 2))[:-2]
                await self._line()
            elif lengths := request.values(b"content-length"):
                request.body = await self._exactly(int(lengths[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return request

    async def _line(self) -> bytes:
        line = await self.reader.readuntil(b"\r\n")
        self.received += line
        return line

    async def _exactly(self, size: int) -> bytes:
        data = await self.reader.readexactly(size)
        self.received += data
        return data

    async def send(self, *parts: bytes) -> None:
        """Write the parts one by one, each flushed to the socket before the next."""
        for part in parts:
            if self.writer.is_closing():
                return
            # uvloop says RuntimeError where the peer was just lost.
            with suppress(ConnectionError, RuntimeError):
                self.writer.write(part)
                await self.writer.drain()

    async def dribble(self, data: bytes, size: int = 1) -> None:
        """Write in pieces, giving the reader a turn after each."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(0)

    def half_close(self) -> None:
        """Say that nothing more will be sent, and keep reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        if self.writer.is_closing():
            return
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_closed(self) -> None:
        """Read (and record) until the peer closes."""
        with suppress(ConnectionError):
            while await self.read():
                pass


Script = Callable[[Wire], Awaitable[None]]


async def answering(wire: Wire) -> None:
    """The default script: 200 with ``{"ok":true}`` for each request."""
    while await wire.request() is not None:
        await wire.send(OK)


def plays(*answers: bytes, then: Script | None = None) -> Script:
    """A script that gives these answers, one a request, on each connection; then closes or goes on with ``then``."""

    async def script(wire: Wire) -> None:
        for answer in answers:
            if await wire.request() is None:
                return
            await wire.send(answer)
        if then is not None:
            await then(wire)

    return script


def says(answer: bytes) -> Script:
    """A script that gives this answer once and waits for the peer to close: a lying upstream does not help."""

    async def script(wire: Wire) -> None:
        if await wire.request() is not None:
            await wire.send(answer)
            await wire.until_closed()

    return script


async def echoing(wire: Wire) -> None:
    """Answers with method, target and body as text, for telling answers apart."""
    while (request := await wire.request()) is not None:
        body = b"%b %b %b" % (request.method, request.target, request.body)
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Upstream:
    """A server on 127.0.0.1 (or a unix socket) that plays ``script`` on each connection."""

    def __init__(
        self, script: Script = answering, *, path: str | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.script = script
        self.wires: list[Wire] = []
        self.requests: list[RecordedRequest] = []
        self._path = path
        self._tls = tls
        self.port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """For ``TargetAddress.parse``."""
        if self._path is not None:
            return f"unix:{self._path}"
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def raw(self) -> bytes:
        """Every byte received so far, connection after connection."""
        return b"".join(bytes(wire.received) for wire in self.wires)

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._path, limit=1 << 20)
        else:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, ssl=self._tls, limit=1 << 20
            )
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks))
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(reader, writer, self, len(self.wires))
        self.wires.append(wire)
        try:
            await self.script(wire)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            if writer.is_closing():
                writer.transport.abort()
            else:
                writer.close()
            with suppress(Exception):
                await writer.wait_closed()


def unused_port() -> int:
    """A port on 127.0.0.1 that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
