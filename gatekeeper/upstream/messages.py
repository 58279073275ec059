"""Where requests go and what they are, as the surfaces say it; and the bytes of a request's head.

``TargetAddress`` is parsed from config by ``gatekeeper.app``; ``OutboundRequest`` is built by the
surfaces for ``UpstreamPool.send``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import NamedTuple, Self

from gatekeeper.upstream.headers import FRAMING, HOP_BY_HOP, HOST, NAMES, RawHeaders, learn
from policies.facts import fact

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?)(?::(?P<port>[0-9]{1,5}))?"
)
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PROTOCOL = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?")
_KNOWN_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
# RFC 9110 9.3.6 and 9.3.8: one asks for a tunnel, the other would echo the identity headers.
_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE"})
# RFC 9110 8.6: say 0 where the method's meaning anticipates a body.
_LENGTH_EXPECTED = frozenset({b"POST", b"PUT", b"PATCH"})
_UNIX_PATH_LIMIT = 107
_NOT_PLAIN = HOP_BY_HOP | FRAMING | HOST
_TARGET = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True)
class TargetAddress:
    """One server: TCP ``host`` and ``port``, or a unix socket's ``path``; ``tls`` for https."""

    host: str = ""
    port: int = 0
    path: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``http://host:port``, ``https://host:port`` or ``unix:/path``.

        Ports default to 80 and 443. Raises ValueError for anything more: a path, query or user would be
        silently lost, so it is refused.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/") or not path.isprintable() or len(path.encode()) > _UNIX_PATH_LIMIT:
                raise ValueError(f"expected unix:/path of at most {_UNIX_PATH_LIMIT} bytes")
            return cls(path=path)
        match = _URL.fullmatch(text.lower())
        if match is None:
            raise ValueError("expected http://host:port, https://host:port or unix:/path, without path, query or user")
        host = match["host"].strip("[]")
        if match["host"].startswith("["):
            host = str(IPv6Address(host))
        tls = match["scheme"] == "https"
        port = int(match["port"] or (443 if tls else 80))
        if not 0 < port < 65536:
            raise ValueError("a port is 1 to 65535")
        return cls(host=host, port=port, tls=tls)

    @property
    def authority(self) -> str:
        """Host and port as a Host field says them; a socket's is ``localhost``."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class FieldBlock(NamedTuple):
    """Fields as they go on the wire, each with its line break, and how many of them are Host."""

    lines: bytes
    hosts: int = 0


_NOTHING = FieldBlock(b"")


@fact
class OutboundRequest:
    """One request for an upstream.

    ``target`` is the origin-form that was decided on; it goes out byte for byte. ``headers`` are end to
    end with exactly one Host; framing and Connection are made here and never taken from them. ``body``:
    None, all of it, or its parts in turn; with parts and no ``content_length`` it is sent chunked. ``upgrade``
    are the protocols to which the upstream may switch (RFC 9110 7.8); none in a request with a body. ``block`` holds
    further fields as ``encode_fields`` made them; where it is given, the one Host is in it or in ``headers``.
    ``patience`` is how long (seconds) the answer's head may take, not given: as long as any other's.
    """

    method: bytes | str
    target: str = field(repr=False)
    headers: RawHeaders = field(repr=False)
    body: AsyncIterator[bytes] | bytes | None = field(default=None, repr=False)
    content_length: int | None = None
    upgrade: tuple[bytes, ...] = ()
    block: FieldBlock | None = field(default=None, repr=False)
    patience: float | None = None

    @property
    def method_bytes(self) -> bytes:
        """The method as it is sent."""
        return self.method if isinstance(self.method, bytes) else self.method.encode("ascii")

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending it twice does no harm (RFC 9110 9.2.2), kept to the safe methods without a body."""
        return not self.body and self.method_bytes in {b"GET", b"HEAD", b"OPTIONS"}


def encode_head(request: OutboundRequest) -> bytes:
    """Request line and fields with the blank line; ValueError for what must not reach a wire."""
    method = request.method_bytes
    if method not in _KNOWN_METHODS and (method in _REFUSED_METHODS or not _METHOD.fullmatch(method)):
        raise ValueError("a method that is not forwarded")
    target = request.target
    if not _TARGET.fullmatch(target) and not (target == "*" and method == b"OPTIONS"):
        raise ValueError("a target is in origin-form, without bytes that do not belong there")
    block = encode_fields(request.headers) if request.headers else _NOTHING
    lines, hosts = block
    if request.block is not None:
        lines += request.block.lines
        hosts += request.block.hosts
    if hosts != 1:
        raise ValueError("a request has exactly one Host")
    framing = _framing(request, method)
    if request.upgrade:
        framing += _upgrade(request)
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target.encode("ascii"), lines, framing)


def encode_fields(fields: RawHeaders) -> FieldBlock:
    """The lines of ``fields`` without hop-by-hop ones and framing; ValueError for what must not reach a wire."""
    lines: list[bytes] = []
    hosts = 0
    for field_ in fields:
        name = field_[0]
        kind = (NAMES.get(name) or learn(name))[1]
        if kind & _NOT_PLAIN:
            if not kind & HOST:
                continue
            hosts += 1
        lines.append(b"%b: %b\r\n" % field_)
    block = b"".join(lines)
    # The last guard against injected lines: only the breaks made here may be there.
    if len(block) - len(block.translate(None, b"\r\n\0")) != 2 * len(lines):
        raise ValueError("a field value holds a line break")
    return FieldBlock(block, hosts)


def _framing(request: OutboundRequest, method: bytes) -> bytes:
    body, length = request.body, request.content_length
    if body is None or isinstance(body, bytes):
        size = len(body) if body else 0
        if length is not None and length != size:
            raise ValueError("content_length does not fit the body")
        return b"Content-Length: %d\r\n" % size if size or method in _LENGTH_EXPECTED else b""
    if length is None:
        return b"Transfer-Encoding: chunked\r\n"
    if length < 0:
        raise ValueError("a negative content_length")
    return b"Content-Length: %d\r\n" % length


def _upgrade(request: OutboundRequest) -> bytes:
    if request.body is not None or not all(_PROTOCOL.fullmatch(protocol) for protocol in request.upgrade):
        raise ValueError("a switch of protocols that cannot be asked for")
    return b"Connection: Upgrade\r\nUpgrade: " + b", ".join(request.upgrade) + b"\r\n"
