"""An upstream that swallows uploads and says how many bytes came: ``sink.py PORT``. Started by gatebench/streams.py."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

_BUFFER = 1 << 20
_PATIENCE = 60.0


def _swallow(connection: socket.socket) -> None:
    """Requests of one connection, one after the other, each with a Content-Length."""
    buffer = bytearray(_BUFFER)
    seen = b""
    while True:
        while b"\r\n\r\n" not in seen:
            data = connection.recv(1 << 16)
            if not data:
                return
            seen += data
        head, _, body = seen.partition(b"\r\n\r\n")
        length = _length(head)
        left = length - len(body)
        while left > 0:
            got = connection.recv_into(buffer, min(left, _BUFFER))
            if not got:
                return
            left -= got
        seen = body[length:]
        said = b'{"bytes":%d}' % length
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
        )


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _serve(connection: socket.socket) -> None:
    connection.settimeout(_PATIENCE)
    with contextlib.suppress(OSError), connection:
        _swallow(connection)


def main() -> None:
    """Until ended."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
