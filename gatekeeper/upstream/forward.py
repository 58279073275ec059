"""One request on one connection, body in both directions at once. Called by ``UpstreamPool.send``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from gatekeeper.errors import UpstreamUnavailable
from gatekeeper.upstream.connection import Connection
from gatekeeper.upstream.messages import OutboundRequest
from gatekeeper.upstream.response import UpstreamResponse

# Parts from memory never suspend: after so many bytes let the loop see an early answer.
_YIELD_AFTER = 256 << 10
# For a sender that was told to stop; its client's iterator may take a moment to let go.
_STOP_TIMEOUT = 1.0
_NOTHING: frozenset[bytes] = frozenset()


class RequestBodyMismatch(ValueError):
    """The parts of a request's body do not add up to its ``content_length``."""


async def exchange(connection: Connection, request: OutboundRequest, head: bytes) -> UpstreamResponse:
    """Send ``request`` (its ``head`` already encoded) and return the answer once its head is there.

    An answer may come before the request's body has ended: then sending stops and the connection is not used
    again. Raises UpstreamUnavailable, UpstreamTimeout, and whatever the body's iterator raises. Cancelling
    closes the connection.
    """
    asked_head = request.method_bytes == b"HEAD"
    if request.patience is not connection.patience:
        connection.allow(request.patience)
    body = request.body
    if body is not None and not isinstance(body, bytes):
        return await _exchange_streaming(connection, body, request.content_length, head, asked_head=asked_head)
    # One write for head and body: one packet for a small request.
    offered = frozenset(protocol.lower() for protocol in request.upgrade) if request.upgrade else _NOTHING
    data = head + body if body else head
    waiter = connection.begin(data, asked_head=asked_head, sending=False, offered=offered)
    try:
        return await waiter
    except BaseException:
        connection.abandon(waiter)
        raise


async def _exchange_streaming(
    connection: Connection, body: AsyncIterator[bytes], length: int | None, head: bytes, *, asked_head: bool
) -> UpstreamResponse:
    waiter = connection.begin(head, asked_head=asked_head, sending=True)
    sender = asyncio.get_running_loop().create_task(_send_body(connection, body, length))
    sender.add_done_callback(partial(_sender_done, connection, waiter))
    try:
        response = await waiter
        await _stop(sender)
    except BaseException:
        connection.abandon(waiter)
        await _stop(sender)
        raise
    return response


async def _stop(sender: asyncio.Task[None]) -> None:
    if not sender.done():
        sender.cancel()
        await asyncio.wait({sender}, timeout=_STOP_TIMEOUT)


def _sender_done(connection: Connection, waiter: asyncio.Future[UpstreamResponse], sender: asyncio.Task[None]) -> None:
    if sender.cancelled():
        connection.fail_request(waiter, UpstreamUnavailable("the request's body was given up"))
    elif (error := sender.exception()) is not None:
        connection.fail_request(waiter, error)


async def _send_body(connection: Connection, body: AsyncIterator[bytes], length: int | None) -> None:
    """Write the parts as they come; never a byte more than ``length``, it would start another request."""
    sent = since_yield = 0
    try:
        async for part in body:
            size = len(part)
            if not size:
                continue
            sent += size
            if length is None:
                connection.write(b"%x\r\n" % size, part, b"\r\n")
            elif sent > length:
                raise RequestBodyMismatch("the request's body is longer than its content_length")
            else:
                connection.write(part)
            await connection.drained()
            since_yield += size
            if since_yield >= _YIELD_AFTER:
                since_yield = 0
                await asyncio.sleep(0)
    finally:
        # An async generator is closed here and now, not when the collector finds it.
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()
    if length is None:
        connection.write(b"0\r\n\r\n")
    elif sent < length:
        raise RequestBodyMismatch("the request's body is shorter than its content_length")
    connection.request_sent()
