"""An upstream's answer on its way to the client: its own head, and a small body in the same write.

Building a ``web.Response`` with its multidict costs more than the whole relay; so the head that came off the
wire goes on as it is, less what does not cross the gate.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import HttpVersion10, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_request import BaseRequest

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.live import Ending
from gatekeeper.upstream.headers import RawHeaders
from gatekeeper.upstream.response import UpstreamResponse
from gatekeeper.upstream.tunnel import probe_peer
from policies.model import Reason

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_NO_BODY = frozenset({204, 304})
_EVENTS = b"text/event-stream"
_CLOSE = b"Connection: close\r\n"


class RelayedAnswer(web.StreamResponse):
    """Sent whole by ``send``; aiohttp then finds it finished and only reads ``keep_alive``."""

    def __init__(self, answer: UpstreamResponse, fields: RawHeaders) -> None:
        super().__init__(status=answer.status)
        self._answer = answer
        self._fields = fields
        self.sent = 0
        self.broken = False
        self.why: Reason | None = None  # it did not come to its end

    @property
    def endless(self) -> bool:
        """Whether it is a stream of events, which no time ends (WHATWG HTML 9.2)."""
        return is_endless(self._fields)

    def cut(self, request: web.Request, ending: Ending) -> None:
        """End a body that is still arriving, without its end; on a drain after what was already written."""
        self.why = Reason(ending.value) if ending is not Ending.DRAIN else None
        self._answer.release()
        if request.transport is not None:
            if ending is Ending.DRAIN:
                request.transport.close()
            else:
                request.transport.abort()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to prepare: ``send`` has written it all."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""

    async def send(self, request: web.Request) -> None:
        """Write head and body. A body that breaks off closes the connection without its end."""
        self._keep_alive = bool(request.keep_alive)
        answer, writer = self._answer, request.writer
        body = answer.complete_body
        try:
            if body is not None:
                body = self._own_body(request, body)
                await writer.write(self._head(request, len(body), chunked=False) + body)
                self.sent = len(body)
            else:
                await self._stream(request, writer)
        finally:
            answer.release()
            self._eof_sent = True

    def _own_body(self, request: web.Request, body: bytes) -> bytes:
        return b"" if without_body(self.status, asked_head=request.method == "HEAD") else body

    async def _stream(self, request: web.Request, writer: AbstractStreamWriter) -> None:
        """A body that is still arriving.

        One of known length may not pause for longer than the upstream's between-bytes time-out. One without, and
        ``text/event-stream``, may be a long poll or a stream of events: it pauses as long as both sides like.
        """
        length = self._answer.content_length
        chunked = length is None and request.version != HttpVersion10
        if length is None and not chunked:
            self._keep_alive = False  # HTTP/1.0: the end of the connection is the end of the body
        if length is None or self.endless:
            self._answer.allow_silence(endless=self.endless)
            if request.transport is not None:
                probe_peer(request.transport)
        await writer.write(self._head(request, length, chunked=chunked))
        if chunked:
            writer.enable_chunking()
        try:
            while part := await self._answer.read():
                self.sent += len(part)
                await writer.write(part)
        except (UpstreamUnavailable, UpstreamTimeout):
            self.broken = True
            self.why = self.why or Reason.UPSTREAM_UNAVAILABLE
            self._keep_alive = False
            if request.transport is not None and not request.transport.is_closing():
                request.transport.abort()
            return
        if chunked:
            await writer.write_eof()

    def _head(self, request: web.Request, length: int | None, *, chunked: bool) -> bytes:
        return answer_head(
            self._answer,
            self._fields,
            length,
            chunked=chunked,
            keep_alive=bool(self._keep_alive),
            asked_head=request.method == "HEAD",
            minor=request.version.minor,
        )


def answer_head(
    answer: UpstreamResponse,
    fields: RawHeaders,
    length: int | None,
    *,
    chunked: bool,
    keep_alive: bool,
    asked_head: bool,
    minor: int = 1,
    lines: bytes | None = None,
) -> bytes:
    """The head of an upstream's answer for the client, with framing of the gate's own and the blank line.

    ``length`` is the body's, None where it is chunked or ends with the connection; HTTP/1.``minor`` is the client's.
    ``lines`` are the ``fields`` on the wire, where that is known.
    """
    status = answer.status
    reason = answer.reason or _PHRASES.get(status, b"")
    if lines is None:
        lines = field_lines(fields)
    framing = b""
    if chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    elif status == 304 or asked_head:
        if answer.content_length is not None:
            framing = b"Content-Length: %d\r\n" % answer.content_length
    elif length is not None and status != 204:
        framing = b"Content-Length: %d\r\n" % length
    persistence = b"" if keep_alive and minor else b"Connection: keep-alive\r\n" if keep_alive else _CLOSE
    return b"HTTP/1.%d %d %b\r\n%b%b%b\r\n" % (minor, status, reason, lines, framing, persistence)


def field_lines(fields: RawHeaders) -> bytes:
    """Fields for the client as they go on the wire, with the Date that RFC 9110 6.6.1 asks for."""
    lines = [b"%b: %b\r\n" % field for field in fields]
    if not is_dated(fields):
        lines.append(b"Date: %b\r\n" % rfc822_formatted_time().encode())
    return b"".join(lines)


def is_dated(fields: RawHeaders) -> bool:
    """Whether the upstream said when it answered; else the gate says it, anew each time."""
    return any(len(name) == 4 and name.lower() == b"date" for name, _ in fields)


def is_endless(fields: RawHeaders) -> bool:
    """Whether the answer is a stream of events, which no time ends (WHATWG HTML 9.2)."""
    return any(name.lower() == b"content-type" and value.lower().startswith(_EVENTS) for name, value in fields)


def without_body(status: int, *, asked_head: bool) -> bool:
    """Whether no body may follow the head (RFC 9112 6.3)."""
    return asked_head or status in _NO_BODY
