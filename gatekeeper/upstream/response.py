"""An upstream's answer as the surfaces see it. Filled by ``upstream.answer``, returned by ``UpstreamPool.send``."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gatekeeper.errors import GatekeeperError
from gatekeeper.upstream.framing import BodyKind
from gatekeeper.upstream.headers import RawHeaders
from gatekeeper.upstream.tunnel import Switched

# What a part costs beyond its bytes, so that a body of one-byte chunks cannot fill the memory.
_PART_OVERHEAD = 64


class BodySource(Protocol):
    """The connection behind a body that is still arriving."""

    def body_taken(self) -> None:
        """All buffered parts were taken: read on."""

    def body_refused(self, response: UpstreamResponse) -> None:
        """Nobody will read the rest: close the connection."""

    def body_may_pause(self, *, endless: bool) -> None:
        """No time limit between bytes for this body, nor, when it is ``endless``, for the whole of it."""


class AnswerHead:
    """A head as it was read, once for all answers with the same one; so it can be the key of what follows from it."""

    __slots__ = ("fields", "keep_alive", "kind", "length", "reason", "status")

    def __init__(
        self, status: int, reason: bytes, fields: RawHeaders, kind: BodyKind, length: int | None, keep_alive: bool
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.kind = kind
        self.length = length
        self.keep_alive = keep_alive


class UpstreamResponse:
    """Status, end-to-end fields and body of one answer.

    ``content_length`` is what the upstream said: the body's length, or for HEAD and 304 the length that GET
    would have; None where it said none. ``complete_body`` is the entire body when it came with the head (b""
    where there is none); then ``read`` and ``release`` need not be called. Else call ``read`` until b"", and
    ``release`` in any case. ``headers`` is not to be changed: answers with an equal ``head`` share it. A 101 that
    was asked for has ``switched`` instead of a body: take the socket with
    ``take_switched``, or ``release`` it.
    """

    __slots__ = (
        "_ended", "_error", "_parts", "_reader", "_source",
        "buffered", "complete_body", "content_length", "head", "headers", "reason", "status", "switched",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: RawHeaders,
        content_length: int | None,
        head: AnswerHead | None = None,
    ) -> None:
        self.head = head
        self.status = status
        self.reason = reason
        self.headers = headers
        self.content_length = content_length
        self.complete_body: bytes | None = None
        self.switched: Switched | None = None
        self.buffered = 0
        self._parts: list[bytes] = []
        self._ended = False
        self._error: GatekeeperError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._source: BodySource | None = None

    async def read(self) -> bytes:
        """The next part of the body, b"" at its end.

        Raises UpstreamUnavailable when the body broke off or its framing lied, UpstreamTimeout when no byte
        of it came in time. Cancelling the wait gives the answer up.
        """
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._wait()
        parts, self._parts = self._parts, []
        self.buffered = 0
        if self._source is not None:
            self._source.body_taken()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _wait(self) -> None:
        if self._reader is not None:
            raise RuntimeError("two readers of one answer")
        # Bounded by the connection's between-bytes deadline, which ends in fail().
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        except BaseException:
            self.release()
            raise
        finally:
            self._reader = None

    def allow_silence(self, *, endless: bool = False) -> None:
        """Never time this body out between bytes; an ``endless`` one (of events) has no total time either."""
        if self._source is not None:
            self._source.body_may_pause(endless=endless)

    def release(self) -> None:
        """Done with this answer; closes its connection unless all of the body has arrived. Idempotent."""
        source = self._source
        if source is not None:
            source.body_refused(self)
        if self.switched is not None:
            self.switched.socket.abort()
            self.switched = None

    def take_switched(self) -> Switched | None:
        """The socket of a 101, whose end is the caller's business from here; None of any other answer."""
        switched, self.switched = self.switched, None
        return switched

    async def close(self) -> None:
        """As ``release``."""
        self.release()

    # For the connection and its reader only

    def attach(self, source: BodySource) -> None:
        """The head goes to the caller now, while ``source`` still brings the body."""
        self._source = source

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(data)
        self.buffered += len(data) + _PART_OVERHEAD
        self._wake()

    def end(self) -> None:
        """The body is complete."""
        if self._source is None:
            self.complete_body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._ended = True
        self._source = None
        self._wake()

    def fail(self, error: GatekeeperError) -> None:
        """The body will never be complete."""
        self._error = error
        self._source = None
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
