"""An API to try the gate on: answers every request with what arrived, as JSON. Started by ``serve --example-upstream``.

Not for production, and without any protection of its own: that is the point of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from typing import Final, cast

import httptools

from gatekeeper.control import Control, end_with_supervisor, obey_supervisor_only
from gatekeeper.listeners import BACKLOG, allow_quick_restart

SHOWN: Final = 1 << 20  # bytes of a body that are echoed; the rest is read, counted and thrown away
_GRACE: Final = 2.0  # seconds after the supervisor's end
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Echo(asyncio.Protocol):
    """One connection: method, path (with the query, as it came), headers and body of each request, as JSON.

    Fields sent several times are joined by commas; of a large body the first mebibyte is shown.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request was answered; no other protocol is spoken
            self._close()
        except httptools.HttpParserError:
            self._write(_BAD_REQUEST)
            self._close()

    def pause_writing(self) -> None:
        """The client does not take its answers: read no more of its requests."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    # what the parser calls

    def on_message_begin(self) -> None:
        self._path, self._headers, self._body, self._size = b"", {}, bytearray(), 0

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if any(name.lower() == "expect" for name in self._headers):
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        self._body += data[: SHOWN - len(self._body)]

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        answer = {
            "method": method,
            "path": self._path.decode("latin-1"),
            "headers": self._headers,
            "body": self._body.decode(errors="replace"),
            "body_bytes": self._size,
        }
        text = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
        kept = self._parser.should_keep_alive()
        self._write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
            % (len(text), b"keep-alive" if kept else b"close")
        )
        if method != "HEAD":
            self._write(text)
        if not kept:
            self._close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def serve(control_descriptor: int, listener: socket.socket) -> None:
    """Answer on ``listener`` until the supervisor says to stop or is gone."""
    control = await Control.open(control_descriptor)
    allow_quick_restart(listener)
    server = await asyncio.get_running_loop().create_server(Echo, sock=listener, backlog=BACKLOG)
    control.say_ready()
    await control.order()
    server.close()
    await control.close()


def main() -> int:
    """The process, from its arguments to its exit status."""
    obey_supervisor_only()
    parser = argparse.ArgumentParser(prog="gatekeeper.example_upstream")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--listener", type=int, required=True)
    given = parser.parse_args()
    end_with_supervisor(given.control, _GRACE)
    asyncio.run(serve(given.control, socket.socket(fileno=given.listener)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
