"""One client connection: aiohttp's RequestHandler with deadlines and bounds. Made by ``server.runner``.

It reaches into aiohttp's protocol class, whose inner names are no promise; each of them is exercised by
tests/gatekeeper/server/test_connection.py, so that an upgrade that moves one is noticed there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, cast

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_server import Server

from gatekeeper.answers import problem, say
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.server.wire import (
    HEAD_TOO_LARGE,
    MALFORMED,
    SAMPLE,
    UNKNOWN_VERSION,
    WireFault,
    fault_of_head,
    fault_of_parser,
    head_size,
)
from policies.model import Reason

PIPELINE: Final = 8  # requests read ahead on one connection
READ_AHEAD: Final = 128 << 10  # bytes of a body that wait unread before the socket is left alone, doubled
LINGER: Final = 2.0  # seconds that what still comes in is read, and thrown away, after the last answer
SLOWEST: Final = 32  # bytes a second, averaged over body_idle, below which a body is dribbled

_log = logging.getLogger("gatekeeper.server")
_WRONG_LENGTH: Final = "The body is malformed."
_FAILED: Final = orjson.dumps({"type": "about:blank", "title": "Internal Server Error", "status": 500})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds and bytes that one connection may take."""

    head: float
    body_idle: float
    idle: float
    max_fields: int
    max_head: int
    max_body: int


class _Refusal(HttpProcessingError):
    """A WireFault on its way through aiohttp's queue of messages."""

    def __init__(self, fault: WireFault) -> None:
        super().__init__(code=fault.status)
        self.fault = fault


class Connection(RequestHandler):
    """A socket and the requests on it."""

    __slots__ = (
        "_ahead",
        "_body",
        "_body_mark",
        "_body_seen",
        "_body_timer",
        "_bounds",
        "_deaf",
        "_ends_here",
        "_head_pending",
        "_head_sample",
        "_head_timer",
        "_large",
        "_unsent",
        "_wire",
        "_write_timer",
    )

    def __init__(self, manager: Server, bounds: Bounds, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=bounds.idle,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp spells "no access log"
            logger=_log,
            max_line_size=bounds.max_head,
            max_field_size=bounds.max_head,
            max_headers=bounds.max_fields,
            lingering_time=LINGER,
            read_bufsize=READ_AHEAD,
            auto_decompress=False,
        )
        self._max_msg_queue_size = PIPELINE
        self._msg_queue_resume_size = PIPELINE // 2
        self._bounds = bounds
        self._wire: asyncio.Transport | None = None
        self._deaf = False  # what still comes in is thrown away
        self._ends_here = False  # the last request asked for a protocol that is not to come
        self._large = False  # a head may have been too large and is to be measured
        self._ahead = 0  # size of the last read
        self._head_pending = 0
        self._head_sample = b""
        self._head_timer: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        self._body_seen = 0.0
        self._body_mark = (0.0, 0)
        self._body_timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._write_timer: asyncio.TimerHandle | None = None

    # the connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._head_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = self._write_timer = self._wire = None
        super().connection_lost(exc)

    async def start(self) -> None:
        """The loop over the requests; a client that does not take the last answer is cut off."""
        try:
            await super().start()
        finally:
            if self._wire is not None and self._wire.get_write_buffer_size():
                self._loop.call_later(self._bounds.body_idle, self._wire.abort)

    # what comes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._upgraded:  # a tunnel's bytes, or those behind an Upgrade that is still being judged
            super().data_received(data)
            return
        size, before = len(data), self._request_count
        if self._ahead + size > self._bounds.max_head:
            self._large = True
        self._ahead = size
        super().data_received(data)
        if self._request_count != before:
            self._heads_read(data)
        elif self._body is not None:
            self._body_read(self._body)
        elif size:
            self._head_goes_on(data)

    def _heads_read(self, data: bytes) -> None:
        """One or more heads are complete; ``data`` held the end of the last."""
        sample = self._head_sample + data
        self._head_ended()
        if not self._messages:  # an eager task took it already
            return
        message, payload = self._messages[-1]
        if isinstance(message, _ErrInfo):
            self._unreadable(message, sample[:SAMPLE])
            return
        self._body = None
        self._ends_here = bool(message.upgrade)
        if not payload.is_eof():
            self._body_begins(payload)
            return
        self._message_ended()
        if payload is EMPTY_PAYLOAD and not self._upgraded and not data.endswith(b"\r\n\r\n"):
            self._head_goes_on(b"")  # the next head has begun in the same read

    def _message_ended(self) -> None:
        """After an Upgrade that is not WebSocket the parser loses what came in the same read: hear no more."""
        if self._ends_here and not self._upgraded:
            self._deaf = self._close = True

    def _unreadable(self, message: _ErrInfo, sample: bytes) -> None:
        """The parser gave up: nothing that follows can be trusted to be where it seems."""
        if self._body is not None and not self._body.is_eof():
            # No answer of its own: that of the request whose body this is will be the last.
            self._break_body(Problem(MALFORMED.status, MALFORMED.reason, _WRONG_LENGTH))
            return
        fault = fault_of_parser(message.exc, sample) if isinstance(message.exc, Exception) else MALFORMED
        self._messages.pop()
        self._refuse(fault)

    def _refuse(self, fault: WireFault) -> None:
        """Answer in turn, after what was asked before, then close."""
        self._deaf = True
        self._messages.append((_ErrInfo(fault.status, _Refusal(fault), ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # a head that comes in pieces

    def _head_goes_on(self, data: bytes) -> None:
        self._head_pending += len(data)
        if len(self._head_sample) < SAMPLE:
            self._head_sample += data
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(self._bounds.head, self._head_late)
        if self._head_pending > self._bounds.max_head:
            self._head_ended()
            self._refuse(HEAD_TOO_LARGE)

    def _head_ended(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._head_pending:
            self._large = self._large or self._head_pending + self._ahead > self._bounds.max_head
            self._head_pending = 0
        self._head_sample = b""

    def _head_late(self) -> None:
        self._head_timer = None
        if self._request_in_progress or self._messages:
            self._deaf = self._close = True  # what was asked before is still answered
        else:
            self.force_close()

    # a body that comes in pieces

    def _body_begins(self, body: StreamReader) -> None:
        self._body = body
        self._body_seen = now = self._loop.time()
        self._body_mark = (now, body.total_bytes)
        if self._body_timer is None:
            self._body_timer = self._loop.call_later(self._bounds.body_idle, self._look_at_body)
        self._bound_body(body)

    def _body_read(self, body: StreamReader) -> None:
        if body.is_eof():
            self._body = None
            self._message_ended()
            return
        self._body_seen = self._loop.time()
        self._bound_body(body)

    def _bound_body(self, body: StreamReader) -> None:
        if body.total_bytes > self._bounds.max_body:
            self._break_body(Problem(413, Reason.TOO_LARGE, f"A body may have at most {self._bounds.max_body} bytes."))

    def _look_at_body(self) -> None:
        """Give up on a body that stalls or dribbles; one that nobody takes from us is not the client's fault."""
        self._body_timer = None
        body, patience, now = self._body, self._bounds.body_idle, self._loop.time()
        if body is None or body.is_eof():
            return
        since, had = self._body_mark
        if self._reading_paused or self._buffer_paused:
            self._body_seen, self._body_mark = now, (now, body.total_bytes)
        elif now - self._body_seen >= patience:
            self._break_body(Problem(408, Reason.VALIDATION, "The body did not arrive in time."))
            return
        elif now - since >= patience:
            if body.total_bytes - had < SLOWEST * (now - since):
                self._break_body(Problem(408, Reason.VALIDATION, "The body arrives too slowly."))
                return
            self._body_mark = (now, body.total_bytes)
        due = min(self._body_seen, self._body_mark[0]) + patience
        self._body_timer = self._loop.call_at(due, self._look_at_body)

    def _break_body(self, fault: Problem) -> None:
        """Whoever reads the body gets ``fault``; the connection ends with the answer."""
        body, self._body = self._body, None
        self._deaf = self._close = True
        self._lingering_time = 0.0
        if body is not None:
            # After the answer only aiohttp reads on, and knows what to do about a TimeoutError.
            body.set_exception(fault if self._request_in_progress or self._messages else TimeoutError())

    # what goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._wire is not None:
            self._unsent = self._wire.get_write_buffer_size()
            self._write_timer = self._loop.call_later(self._bounds.body_idle, self._look_at_writing)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _look_at_writing(self) -> None:
        """Cut off a client that has taken nothing of the answer for ``body_idle``."""
        self._write_timer = None
        if self._wire is None:
            return
        unsent = self._wire.get_write_buffer_size()
        if unsent >= self._unsent:
            self._wire.abort()
            return
        self._unsent = unsent
        self._write_timer = self._loop.call_later(self._bounds.body_idle, self._look_at_writing)

    # what is answered here

    def screen(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        """The refusal of a request that is not to reach any handler, or None."""
        bounds = self._bounds
        fault = fault_of_head(request, max_body=bounds.max_body)
        if fault is None and self._large and head_size(request) > bounds.max_head:
            fault = HEAD_TOO_LARGE
        if fault is None:
            return None
        if fault is UNKNOWN_VERSION:
            _speak_1_1(request)
        return _answer(fault)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; where more is still coming in, let it reach the client.

        Closing a socket on unread bytes resets it, and with it an answer not yet read (RFC 9112 9.6).
        """
        outcome = await super().finish_response(request, resp, start_time)
        if self._deaf and self._wire is not None and not self._wire.is_closing():
            if self._wire.can_write_eof():
                self._wire.write_eof()
            self._resume_transport_reading()
            await asyncio.sleep(LINGER)  # cut short by connection_lost
        return outcome

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer without details (security 28): to what is no HTTP, and to a handler that failed."""
        answer: web.StreamResponse
        if isinstance(exc, _Refusal):
            answer = _refusal(exc.fault)
        elif isinstance(exc, HttpProcessingError | RequestPayloadError):
            answer = _refusal(fault_of_parser(exc, b""))
        elif isinstance(exc, Problem):
            answer = say(exc)
        else:
            inbound = request.get(INBOUND)
            request_id = inbound.request_id if inbound is not None else "-"
            _log.error("request %s failed", request_id, exc_info=exc, extra={"request_id": request_id})
            answer = web.Response(
                body=_FAILED, status=500, content_type="application/problem+json", headers={"Cache-Control": "no-store"}
            )
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer had begun")
        answer.force_close()
        _speak_1_1(request)
        return answer


def _speak_1_1(request: web.BaseRequest) -> None:
    """Answer in our own version (RFC 9110 6.2), not in one we do not know or that aiohttp made up for an error."""
    request._version = HttpVersion11  # noqa: SLF001 - the status line is made from it, and there is no setter
    request._cache.pop("version", None)  # noqa: SLF001 - what ``version`` said before


def _refusal(fault: WireFault) -> web.StreamResponse:
    answer = problem(fault.reason, status=fault.status)
    answer.force_close()
    return answer


async def _answer(fault: WireFault) -> web.StreamResponse:
    return _refusal(fault)
