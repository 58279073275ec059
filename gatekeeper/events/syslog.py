"""Events to a syslog server (``notify.syslog``): RFC 5424 with the JSON line as message, for SIEMs.

Over UDP (RFC 5426) and a unix socket one datagram each; over TCP (RFC 6587, octet counting) and TLS (RFC 5425) on one
connection that is kept. Syslog has no acknowledgement: what a server took off a connection and lost is lost.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gatekeeper.errors import StartupError
from gatekeeper.events.event import SCHEMA, Event
from gatekeeper.events.hub import Undelivered
from gatekeeper.events.jsonlines import HOST, line_of
from gatekeeper.events.names import Wanted
from gatekeeper.notify.envelope import shown_time
from gatekeeper.observe.logging import dump_line

Transport = Literal["udp", "tcp", "tls", "unix"]
FACILITIES: Final = {"auth": 4, "authpriv": 10, "daemon": 3, "user": 1, **{f"local{n}": 16 + n for n in range(8)}}
PORTS: Final[dict[Transport, int]] = {"udp": 514, "tcp": 601, "tls": 6514, "unix": 0}
_NOTICE, _WARNING, _INFORMATION = 5, 4, 6
_LONGEST_DATAGRAM: Final = 60_000  # bytes
_DEADLINE: Final = 10.0  # seconds for a connection, and for handing over a batch


@dataclass(frozen=True, slots=True)
class SyslogServer:
    """Where it listens: host and port, or the path of a unix socket as ``host``. ``ca`` replaces the system's."""

    transport: Transport
    host: str
    port: int = 0
    ca: Path | None = None


class Syslog:
    """A receiver of ``events.hub``. Raises StartupError for a ``ca`` that is none."""

    def __init__(self, server: SyslogServer, facility: str, wanted: Wanted) -> None:
        self._server = server
        self._facility = FACILITIES[facility]
        self._wanted = wanted
        self._context = _context(server)
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def take(self, events: Sequence[Event]) -> None:
        """Send what is wanted. Raises Undelivered."""
        messages = [self._message(event) for event in events if event.type in self._wanted]
        if not messages:
            return
        stream = self._server.transport in {"tcp", "tls"}
        try:
            async with asyncio.timeout(_DEADLINE):
                await (self._stream(messages) if stream else self._datagrams(messages))
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError) as fault:
            self._part()
            place = f"{self._server.host}:{self._server.port}" if self._server.port else self._server.host
            raise Undelivered(f"syslog {self._server.transport}://{place}: {_words(fault)}") from None

    def _message(self, event: Event) -> bytes:
        line = line_of(event)
        if len(line) > _LONGEST_DATAGRAM and self._server.transport in {"udp", "unix"}:
            line = dump_line({"schema": SCHEMA, "gate": HOST, "type": event.type, "id": event.id, "truncated": True})
        priority = 8 * self._facility + _severity(event.type)
        name = event.type[:32]  # MSGID, at most 32 characters of printable ASCII
        head = f"<{priority}>1 {shown_time(event.time)} {HOST[:255] or '-'} gatekeeper {os.getpid()} {name} - "
        return head.encode("ascii", "replace") + line[:-1]

    async def _stream(self, messages: list[bytes]) -> None:
        if self._reader is not None and self._reader.at_eof():
            self._part()
        if self._writer is None:
            name = self._server.host if self._context else None
            self._reader, self._writer = await asyncio.open_connection(
                self._server.host, self._server.port, ssl=self._context, server_hostname=name
            )
        self._writer.write(b"".join(b"%d %s" % (len(message), message) for message in messages))
        await self._writer.drain()

    async def _datagrams(self, messages: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        if self._server.transport == "unix":
            family, address = socket.AF_UNIX, self._server.host
        else:
            found = await loop.getaddrinfo(self._server.host, self._server.port, type=socket.SOCK_DGRAM)
            family, address = found[0][0], found[0][4]  # type: ignore[assignment]  # what fits the family
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            await loop.sock_connect(sender, address)
            for message in messages:
                await loop.sock_sendall(sender, message)

    def _part(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = self._reader = None


def _context(server: SyslogServer) -> ssl.SSLContext | None:
    if server.transport != "tls":
        return None
    try:
        return ssl.create_default_context(cafile=server.ca)
    except (OSError, ssl.SSLError) as fault:
        why = getattr(fault, "strerror", None) or "no certificates in it"
        raise StartupError(f"notify.syslog.ca: {server.ca}: {why}") from None


def _severity(name: str) -> int:
    if name in {"login.failure", "login.blocked"} or name.startswith("signal."):
        return _WARNING
    return _INFORMATION if name.startswith("login.") else _NOTICE


def _words(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:200] or ("no answer in time" if isinstance(fault, TimeoutError) else "closed")
