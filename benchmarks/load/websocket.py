"""WebSocket echo (RFC 6455) in raw frames, both ends. Started by gatebench/tunnels.py.

``serve PORT`` echoes; ``drive`` reads one JSON object from standard input ({port, path, headers, connections,
seconds, size}), sends on each connection a message as soon as the last one came back, and writes one JSON object:
messages, seconds, latencies in ms; or {"status": ...} where the upgrade was refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
from time import perf_counter
from typing import Any, cast

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_PATIENCE = 10.0


def _frame(payload: bytes, mask: bytes = b"") -> bytes:
    """One binary message; masked where a client sends it (RFC 6455 5.3)."""
    bit = 0x80 if mask else 0
    length = bytes([bit | len(payload)]) if len(payload) < 126 else bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    return b"\x82" + length + mask + (_masked(payload, mask) if mask else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def _split(data: bytes) -> tuple[bytes, bytes] | None:
    """The first message's payload, unmasked, and what follows; None while it is not complete."""
    if len(data) < 2:
        return None
    size, start = data[1] & 0x7F, 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    mask = data[start : start + 4] if data[1] & 0x80 else b""
    start += len(mask)
    if len(data) < start + size:
        return None
    payload = data[start : start + size]
    return (_masked(payload, mask) if mask else payload), data[start + size :]


class Echo(asyncio.Protocol):
    """The server's end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._data, self._open = b"", False

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            head, mark, self._data = self._data.partition(b"\r\n\r\n")
            if not mark:
                self._data = head
                return
            self._open = True
            self._transport.write(_accepted(head))
        while (message := _split(self._data)) is not None:
            self._data = message[1]
            self._transport.write(_frame(message[0]))


def _accepted(head: bytes) -> bytes:
    key = next(line[18:].strip() for line in head.split(b"\r\n") if line[:18].lower() == b"sec-websocket-key:")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class Client(asyncio.Protocol):
    """One connection that keeps one message under way."""

    def __init__(self, told: dict[str, Any], over: asyncio.Event, took: list[float]) -> None:
        self._told, self._over, self._took = told, over, took
        self._data, self._since = b"", 0.0
        self._payload = os.urandom(told["size"])
        self._message = _frame(self._payload, os.urandom(4))
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        fields = {
            "Host": f"127.0.0.1:{self._told['port']}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Origin": f"http://127.0.0.1:{self._told['port']}",
            **self._told["headers"],
        }
        lines = [f"GET {self._told['path']} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_result(0)

    def begin(self) -> None:
        """The first message."""
        self._send()

    def close(self) -> None:
        """Reset."""
        self._transport.abort()

    def _send(self) -> None:
        self._since = perf_counter()
        self._transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.status.done():
            head, mark, rest = self._data.partition(b"\r\n\r\n")
            if mark:
                self._data = rest
                self.status.set_result(int(head.split(b" ", 2)[1]))
            return
        message = _split(self._data)
        if message is None:
            return
        if message[0] != self._payload:
            self.close()
            return
        self._data = message[1]
        if not self._over.is_set():
            self._took.append(perf_counter() - self._since)
            self._send()


async def drive(told: dict[str, Any]) -> dict[str, Any]:
    """Open the connections, then echo for a while."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    took: list[float] = []
    clients: list[Client] = []
    async with asyncio.timeout(_PATIENCE):
        for _ in range(told["connections"]):
            _, client = await loop.create_connection(lambda: Client(told, over, took), "127.0.0.1", told["port"])
            clients.append(client)
        statuses = {await client.status for client in clients}
    if statuses != {101}:
        return {"status": min(statuses)}
    begun = perf_counter()
    for client in clients:
        client.begin()
    await asyncio.sleep(told["seconds"])
    over.set()
    seconds = perf_counter() - begun
    for client in clients:
        client.close()
    await asyncio.sleep(0.05)
    took.sort()
    p50, p99 = (1000 * took[int(share * len(took))] for share in (0.5, 0.99)) if took else (0.0, 0.0)
    return {"status": 101, "messages": len(took), "seconds": seconds, "p50": p50, "p99": p99}


async def serve(port: int) -> None:
    """Echo until ended."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """The process."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if sys.argv[1] == "serve":
            runner.run(serve(int(sys.argv[2])))
        else:
            print(json.dumps(runner.run(drive(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
