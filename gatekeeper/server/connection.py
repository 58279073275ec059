"""One client connection: aiohttp's RequestHandler with deadlines and bounds. Made by ``server.runner``.

It reaches into aiohttp's protocol class, whose inner names are no promise; each of them is exercised by
tests/gatekeeper/server/test_connection.py, so that an upgrade that moves one is noticed there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from gatekeeper.errors import Problem
from gatekeeper.inbound import NOWHERE, Arrival
from gatekeeper.server.bounds import Bounds
from gatekeeper.server.refusals import Refusal, answer_to, log, refuse
from gatekeeper.server.wire import (
    HEAD_TOO_LARGE,
    MALFORMED,
    SAMPLE,
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

_WRONG_LENGTH: Final = "The body is malformed."


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
        "_max_head",
        "_unsent",
        "_wire",
        "_write_timer",
        "arrival",
    )

    def __init__(
        self, manager: Server, bounds: Bounds, arrival: Arrival | None = None, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=bounds.idle,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp spells "no access log"
            logger=log,
            max_line_size=bounds.max_head,
            max_field_size=bounds.max_head,
            max_headers=bounds.max_fields,
            lingering_time=LINGER,
            read_bufsize=READ_AHEAD,
            auto_decompress=False,
        )
        self.arrival = arrival or NOWHERE
        self._max_msg_queue_size = PIPELINE
        self._msg_queue_resume_size = PIPELINE // 2
        self._bounds = bounds
        self._max_head = bounds.max_head
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
        if self.arrival is NOWHERE:
            self.arrival = arrival_of(transport)
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
        before, size = self._request_count, len(data)
        RequestHandler.data_received(self, data)
        if self._ahead + size > self._max_head:
            self._large = True
        self._ahead = size
        if self._request_count != before:
            self._heads_read(data)
        elif self._body is not None:
            self._body_read(self._body)
        elif size:
            self._head_goes_on(data)

    def _heads_read(self, data: bytes) -> None:
        """One or more heads are complete; ``data`` held the end of the last."""
        sample = data
        if self._head_timer is not None:
            sample = (self._head_sample + data)[:SAMPLE]
            self._head_ended()
        if not self._messages:
            return
        message, payload = self._messages[-1]
        if isinstance(message, _ErrInfo):
            self._unreadable(message, sample)
            return
        self._body = None
        if payload is not EMPTY_PAYLOAD or message.upgrade:
            self._ends_here = bool(message.upgrade)
            if payload is EMPTY_PAYLOAD and _nothing_behind(data):
                self._upgraded = True  # aiohttp knows only WebSocket; so it keeps what comes for a tunnel
            if payload.is_eof():
                self._message_ended()
            else:
                self._body_begins(payload)
        elif not data.endswith(b"\r\n\r\n"):
            self._head_goes_on(b"")  # the next head has begun in the same read

    def _message_ended(self) -> None:
        """Behind an Upgrade that is not WebSocket the parser lost what came in the same read: hear no more."""
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
        self._messages.append((_ErrInfo(fault.status, Refusal(fault), ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # a head that comes in pieces

    def _head_goes_on(self, data: bytes) -> None:
        self._head_pending += len(data)
        if len(self._head_sample) < SAMPLE:
            self._head_sample += data
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(self._bounds.head, self._head_late)
        if self._head_pending > self._max_head:
            self._head_ended()
            self._refuse(HEAD_TOO_LARGE)

    def _head_ended(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._head_pending:
            self._large = self._large or self._head_pending + self._ahead > self._max_head
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

    # what becomes a tunnel

    @property
    def may_switch(self) -> bool:
        """Whether what comes behind the request being answered is kept, so that a tunnel may have it."""
        return self._upgraded and not self._deaf and not self._messages

    def hand_over(self) -> tuple[asyncio.Transport, bytes, bool] | None:
        """Give the socket away; called by the handler of an Upgrade, whose answer is then aiohttp's last.

        Returns the transport, what came behind the request, and whether the client is slow to read; None when the
        client has left. The transport has this object as its protocol until the caller sets another.
        """
        wire, behind, blocked = self._wire, self._message_tail, self._paused
        if wire is None or wire.is_closing():
            return None
        self._message_tail = b""
        self.transport = None  # or connection_lost would close it,
        self._task_handler = None  # and cancel the handler that calls
        self.connection_lost(None)
        return wire, behind, blocked

    # what is answered here

    def screen(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        """The refusal of a request that is not to reach any handler, or None."""
        bounds = self._bounds
        fault = fault_of_head(request, max_body=bounds.max_body)
        if fault is None and self._large and head_size(request) > bounds.max_head:
            fault = HEAD_TOO_LARGE
        return None if fault is None else refuse(request, fault)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Write the answer; not ``async``, so that one that is not the last costs no coroutine more."""
        finish = super().finish_response(request, resp, start_time)
        return self._finish_last(finish) if self._deaf else finish

    async def _finish_last(
        self, finish: Coroutine[Any, Any, tuple[web.StreamResponse, bool]]
    ) -> tuple[web.StreamResponse, bool]:
        """Where more is still coming in, let the answer reach the client before the connection is closed.

        Closing a socket on unread bytes resets it, and with it an answer not yet read (RFC 9112 9.6).
        """
        outcome = await finish
        if self._wire is not None and not self._wire.is_closing():
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
        answer = answer_to(request, exc)
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer had begun")
        return answer


def arrival_of(transport: asyncio.BaseTransport) -> Arrival:
    """Of a connection about which only its socket can tell."""
    peer = transport.get_extra_info("peername")
    return Arrival(peer[0]) if peer else NOWHERE


def _nothing_behind(data: bytes) -> bool:
    """Whether a head, which ends somewhere in ``data``, ends exactly with it."""
    # Where its blank line began in the read before, another one at the end is not its own.
    return data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1 and data[0] not in b"\r\n"
