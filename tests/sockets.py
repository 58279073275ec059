"""WebSocket for tests: an upstream of aiohttp's, and raw frames (RFC 6455) for what no library would send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import aiohttp
from aiohttp import web

KEY = base64.b64encode(b"0123456789abcdef").decode()
ACCEPT = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
ASKING = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
RULES: list[dict[str, Any]] = [
    {"name": "public", "path": "/public/**", "allow": "anyone"},
    {"name": "staff", "path": "/staff/**", "allow": {"roles": ["staff"]}},
    {"name": "lines", "path": "/lines/**", "allow": "authenticated", "upgrade": ["lines"]},
    {"name": "none", "path": "/none/**", "allow": "authenticated", "upgrade": []},
    {"name": "all", "path": "/**", "allow": "authenticated"},
]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes | None = b"\x0a\x0b\x0c\x0d") -> bytes:
    """A frame as a client sends it; ``mask`` None as a server does."""
    size, bit = len(payload), 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def closing(code: int, reason: bytes = b"") -> bytes:
    """The payload of a close frame."""
    return struct.pack("!H", code) + reason


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """First byte and payload of an unmasked frame."""
    first, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    return first, await reader.readexactly(size)


class WebSockets:
    """An upstream: echoes messages on any path; under ``.../events`` it streams, under ``/refuses`` it says 403."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.closed: list[int | None] = []
        self.open = 0
        self.flow = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def address(self) -> str:
        """For a gate's configuration."""
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of a gate in front of it."""
        return {"upstreams": {"api": {"targets": [self.address]}}, "rules": RULES, **more}

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(
            web.Server(self._serve, auto_decompress=False, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        self.requests.append(request)
        if request.path.startswith("/refuses"):
            return web.Response(status=403, text="not you", headers={"X-Why": "because"})
        if request.path.endswith("/events"):
            return await self._events(request)
        if "Upgrade" not in request.headers:
            return web.json_response({"path": request.path})
        return await self._echo(request)

    async def _events(self, request: web.BaseRequest) -> web.StreamResponse:
        """An event at once, and one each time ``flow`` is set."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        self.open += 1
        try:
            while True:
                await answer.write(b"data: event\n\n")
                await self.flow.wait()
                self.flow.clear()
        finally:
            self.open -= 1

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress="deflate" in request.path, protocols=["chat"])
        await socket.prepare(request)
        self.open += 1
        try:
            with suppress(ConnectionError):
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await socket.send_str(message.data)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        await socket.send_bytes(message.data)
        finally:
            self.open -= 1
            self.closed.append(socket.close_code)
        return socket


class Wire:
    """A raw connection to an HTTP server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, url: str) -> None:
        self.authority = url.removeprefix("http://")

    async def __aenter__(self) -> Self:
        host, port = self.authority.split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=4 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with suppress(Exception):
            await self.writer.wait_closed()

    def send(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)

    def ask(
        self,
        path: str,
        *fields: str,
        tokens: dict[str, Any] | None = None,
        line: str = "GET {} HTTP/1.1",
        behind: bytes = b"",
    ) -> None:
        """Write a request's head, and what comes ``behind`` it in the same write."""
        own = [f"Host: {self.authority}"]
        if tokens:
            own.append(f"Authorization: Bearer {tokens['access_token']}")
        self.send("\r\n".join([line.format(path), *own, *fields, "", ""]).encode() + behind)

    async def head(self) -> tuple[int, str]:
        """Status and the head's text."""
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        return int(head[9:12]), head

    async def answer(self) -> tuple[int, str, bytes]:
        """Status, head, and the body by its length."""
        status, head = await self.head()
        length = next((line[16:] for line in head.split("\r\n") if line.lower().startswith("content-length: ")), "0")
        async with asyncio.timeout(30):
            return status, head, await self.reader.readexactly(int(length))

    async def open(
        self, path: str = "/x", *fields: str, tokens: dict[str, Any] | None = None, behind: bytes = b""
    ) -> str:
        """Switch to WebSocket."""
        self.ask(path, *ASKING, *fields, tokens=tokens, behind=behind)
        status, head = await self.head()
        assert status == 101, head
        return head

    async def frame(self) -> tuple[int, bytes]:
        """The next frame."""
        async with asyncio.timeout(30):
            return await read_frame(self.reader)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection; b"RST" behind it when that was a reset."""
        data = b""
        async with asyncio.timeout(30):
            try:
                while part := await self.reader.read(65536):
                    data += part
            except ConnectionError:
                data += b"RST"
        return data


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another task or socket brings about."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - it is about the other side of a socket
            await asyncio.sleep(0.001)
