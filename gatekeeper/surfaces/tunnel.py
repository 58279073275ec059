"""Upgrade on the client's side (RFC 9110 7.8): what to offer the upstream, and the switch once it says 101.

Called by ``surfaces.proxy``, after the gate has allowed the request. From the switch on the sockets are those of
``upstream.tunnel``; the request is over, and nothing of aiohttp is left on the connection.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from gatekeeper.appkeys import INBOUND
from gatekeeper.live import Ending, LiveConnection, LiveConnections
from gatekeeper.server.connection import Connection
from gatekeeper.upstream.headers import RawHeaders
from gatekeeper.upstream.response import UpstreamResponse
from gatekeeper.upstream.tunnel import Parked, Tunnel
from policies.model import Address, Decision
from policies.rules import Rule

ENDED: Final = 4401  # of the range that RFC 6455 7.4.2 leaves to applications: as 401 says it
GOING_AWAY: Final = 1001
TRY_AGAIN: Final = 1013
_WEBSOCKET: Final = b"websocket"
_CODES: Final = {Ending.DRAIN: GOING_AWAY, Ending.STORE: TRY_AGAIN}


def offer(request: web.Request, rule: Rule) -> tuple[bytes, ...]:
    """The protocols that the client asks for and the rule allows, in the client's spelling; () for plain HTTP.

    A request that asks in any way that RFC 9110 7.8 does not know is not refused: Upgrade may be ignored.
    """
    if "Upgrade" not in request.headers or not rule.upgrade:
        return ()
    if request.method != "GET" or request.version != HttpVersion11 or request.can_read_body:
        return ()
    connection = request.protocol
    if not (isinstance(connection, Connection) and connection.may_switch):
        return ()
    options = ",".join(request.headers.getall("Connection", ())).lower().split(",")
    if "upgrade" not in {option.strip(" \t") for option in options}:
        return ()
    asked = [protocol.strip(" \t") for protocol in ",".join(request.headers.getall("Upgrade")).split(",")]
    # A protocol may name its version behind a slash, and few do.
    allowed = [protocol for protocol in asked if protocol.partition("/")[0].lower() in rule.upgrade]
    return tuple(protocol.encode("ascii", "replace") for protocol in allowed)


class SwitchedAnswer(web.StreamResponse):
    """A 101 that has been sent; aiohttp finds it finished."""

    def __init__(self) -> None:
        super().__init__(status=HTTPStatus.SWITCHING_PROTOCOLS)
        self._keep_alive = False
        self._eof_sent = True

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to prepare."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def switch(
    request: web.Request, answer: UpstreamResponse, fields: RawHeaders, decision: Decision, live: LiveConnections
) -> SwitchedAnswer:
    """Relay the 101 with ``fields`` and splice the two sockets; the tunnel ends with the session."""
    switched, connection = answer.take_switched(), request.protocol
    if switched is None or not isinstance(connection, Connection):
        raise RuntimeError("there is nothing to switch to")
    handed = connection.hand_over()
    if handed is None:  # the client has just left
        switched.socket.abort()
        return SwitchedAnswer()
    transport, early, blocked = handed
    transport.write(_head(fields, switched.protocol))
    _Live(
        live,
        decision,
        Parked(transport, early, blocked=blocked),
        switched.socket,
        framed=switched.protocol.lower() == _WEBSOCKET,
        address=request[INBOUND].client,
    )
    return SwitchedAnswer()


def _head(fields: RawHeaders, protocol: bytes) -> bytes:
    lines = [b"HTTP/1.1 101 Switching Protocols"]
    lines += [b"%b: %b" % field for field in fields]
    lines += [b"Connection: Upgrade", b"Upgrade: " + protocol, b"\r\n"]
    return b"\r\n".join(lines)


class _Live:
    """A tunnel and its place in the registry."""

    __slots__ = ("_entry", "_registry", "_tunnel")

    def __init__(
        self,
        registry: LiveConnections,
        decision: Decision,
        client: Parked,
        upstream: Parked,
        *,
        framed: bool,
        address: Address,
    ) -> None:
        self._registry = registry
        self._entry: LiveConnection = registry.add(
            self._close, decision.principal, decision.rule, endless=True, client=address
        )
        self._tunnel = Tunnel(client, upstream, framed=framed, on_end=self._ended)

    def _close(self, ending: Ending) -> None:
        self._tunnel.close(_CODES.get(ending, ENDED), ending)

    def _ended(self) -> None:
        self._registry.remove(self._entry)
        del self._entry, self._tunnel
