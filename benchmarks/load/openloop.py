"""Open-loop load: requests leave at a constant rate, whatever the answers do. Started by gatebench/latency.py.

Reads one JSON object from standard input ({port, path, rate, seconds, connections, requests: [headers]}) and writes
one: latencies in ms, counted from when a request was due (so a slow answer is not left out by delaying the next
request), and how many were not 200. Waits with select, which knows microseconds; asyncio's timers know milliseconds.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from collections import deque
from time import perf_counter
from typing import Any

_PATIENCE = 5.0  # seconds for the last answers


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen = b""
        self.due = 0.0

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a whole (small) request."""
        self.due = due
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """The answer's status line and on, once it is complete. Raises ConnectionError at its end."""
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed by the server")
        self._seen += data
        head, mark, body = self._seen.partition(b"\r\n\r\n")
        if not mark or len(body) < _length(head):
            return None
        self._seen = b""
        return head


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def drive(told: dict[str, Any]) -> dict[str, Any]:
    """The whole run."""
    requests = [_head(told["path"], told["port"], fields) for fields in told["requests"] or [{}]]
    connections = [Connection(told["port"]) for _ in range(told["connections"])]
    free, busy, every = deque(connections), set[Connection](), 1.0 / told["rate"]
    count, sent, failed = int(told["rate"] * told["seconds"]), 0, 0
    took: list[float] = []
    begun = perf_counter()
    give_up = begun + told["seconds"] + _PATIENCE
    while len(took) < count:
        now = perf_counter()
        if now > give_up:
            break
        while free and sent < count and begun + sent * every <= now:
            connection = free.pop()
            connection.send(requests[sent % len(requests)], begun + sent * every)
            busy.add(connection)
            sent += 1
        wait = begun + sent * every - perf_counter() if free and sent < count else 0.5
        readable, _, _ = select.select(busy, [], [], max(0.0, wait))
        for connection in readable:
            head = connection.receive()
            if head is None:
                continue
            took.append(perf_counter() - connection.due)
            failed += not head.startswith(b"HTTP/1.1 200")
            busy.discard(connection)
            free.append(connection)
    return _summary(took, failed, count)


def _head(path: str, port: int, fields: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _summary(took: list[float], failed: int, count: int) -> dict[str, Any]:
    took.sort()

    def at(share: float) -> float:
        return 1000 * took[min(len(took) - 1, int(share * len(took)))] if took else 0.0

    return {
        "answered": len(took),
        "unanswered": count - len(took),
        "failed": failed,
        **{f"p{int(1000 * share) / 10:g}".replace(".", "_"): at(share) for share in (0.5, 0.9, 0.99, 0.999)},
        "max": at(1.0),
    }


if __name__ == "__main__":
    print(json.dumps(drive(json.load(sys.stdin))))
