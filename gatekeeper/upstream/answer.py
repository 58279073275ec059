"""Reads one answer from bytes, without I/O. One ``AnswerReader`` an exchange, owned by ``upstream.connection``.

llhttp (no lenient flag) judges heads and chunks; where a head ends, how long a body is and what may follow it
is decided here, so that no byte after an answer is ever taken for the next one.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gatekeeper.upstream.framing import BodyKind, frame_answer, switched_to
from gatekeeper.upstream.headers import RawHeaders
from gatekeeper.upstream.response import AnswerHead, UpstreamResponse

MAX_HEAD = 64 << 10
"""Bytes of a head, interim (1xx) heads before it included; of chunk framing and trailers between body bytes too."""
MAX_FIELDS = 200
_NONE, _LENGTH, _CHUNKED, _CLOSE = BodyKind
_BLANK_LINE = b"\r\n\r\n"
_REASON_CONTROLS = bytes(code for code in [*range(32), 127] if code != 9)


MOST_REMEMBERED = 512
"""Heads kept, for each of answers with and without a body; emptied when full."""
LONGEST_REMEMBERED = 2048

_heads: tuple[dict[bytes, AnswerHead], dict[bytes, AnswerHead]] = ({}, {})  # not asked with HEAD, asked with HEAD


class BadAnswer(ValueError):
    """What the upstream sent is no answer that can be trusted; says why without repeating its bytes."""


class AnswerReader:
    """Fed with what arrives, it makes the ``response``, fills its body, and knows when it is ``done``.

    ``keep_alive`` counts once done: False also when more bytes came than the answer has. ``offered`` are the
    protocols (lower case) to which the upstream may switch; when it does, ``switched`` is the one, in its own
    spelling, and ``early`` what came behind its 101.
    """

    __slots__ = (
        "_asked_head", "_chunks_ended", "_fields", "_head_read", "_kind", "_offered", "_overhead", "_parser",
        "_partial", "_reason", "_remaining", "_size", "_start", "_tail",
        "done", "early", "keep_alive", "response", "switched",
    )  # fmt: skip

    def __init__(self, *, asked_head: bool, offered: frozenset[bytes] = frozenset()) -> None:
        self.response: UpstreamResponse | None = None
        self.done = False
        self.keep_alive = False
        self.switched: bytes | None = None
        self.early = b""
        self._offered = offered
        self._asked_head = asked_head
        self._size = 0
        self._kind = _NONE
        self._remaining = 0
        self._chunks_ended = False
        self._parser: HttpResponseParser | None = None
        self._fields: RawHeaders = []
        self._reason = b""
        self._head_read = False
        self._start = b""
        self._partial = bytearray()

    @property
    def started(self) -> bool:
        """Whether a byte of the answer has arrived."""
        return self._size > 0

    def feed(self, data: bytes) -> None:
        """Read on; raises BadAnswer, after which the connection is good for nothing."""
        if self.response is None:
            known = None if self._size or self._offered else self._known_head(data)
            data = self._feed_head(data) if known is None else known
            if self.response is None:
                return
        elif self.done:
            self.keep_alive = False
            return
        self._feed_body(self.response, data)

    def end_of_stream(self) -> bool:
        """The upstream closed its side; whether that is the proper end of the answer."""
        self.done = self.done or (self.response is not None and self._kind is _CLOSE)
        self.keep_alive = False
        return self.done

    # Callbacks of llhttp

    def on_message_begin(self) -> None:
        if self._chunks_ended:
            raise BadAnswer("bytes after the last chunk")

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers; they are dropped, since no rule was applied to them (RFC 9110 6.5.1).
        if not self._head_read:
            if len(self._fields) >= MAX_FIELDS:
                raise BadAnswer("too many fields")
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._head_read = True

    def on_body(self, data: bytes) -> None:
        self._overhead = 0
        if self.response is not None:
            self.response.feed(data)

    def on_message_complete(self) -> None:
        self._chunks_ended = self._kind is _CHUNKED

    # The head

    def _expect_head(self) -> None:
        self._fields = []
        self._reason = b""
        self._head_read = False
        self._start = b""
        self._partial = bytearray()
        self._parser = HttpResponseParser(self)

    def _known_head(self, data: bytes) -> bytes | None:
        """Take a head that was read before, to the byte; returns what follows it, None where it was not."""
        end = data.find(_BLANK_LINE) + 4
        head = _heads[self._asked_head].get(data[:end])
        if head is None:
            return None
        self._size = end
        self._head_read = True
        self._begin(head)
        return data[end:]

    def _remember(self, data: bytes, head: AnswerHead) -> None:
        """An upstream repeats its heads within a second, and often for longer."""
        known = _heads[self._asked_head]
        if len(data) > LONGEST_REMEMBERED or head.kind is _CHUNKED or self._offered:
            return
        if len(known) >= MOST_REMEMBERED:
            known.clear()
        known[data] = head

    def _begin(self, head: AnswerHead) -> None:
        self._kind = head.kind
        self._remaining = head.length or 0
        self.keep_alive = head.keep_alive
        self._overhead = 0
        self._tail = b""
        if head.kind is not _CHUNKED:
            self._parser = None
        self.response = UpstreamResponse(head.status, head.reason, head.fields, head.length, head)

    def _feed_head(self, data: bytes) -> bytes:
        """Read heads up to the final one; returns what follows it."""
        whole = not self._size
        if whole:
            self._expect_head()
        while data:
            cut = self._cut(data)
            head, rest = (data, b"") if cut is None or cut == len(data) else (data[:cut], data[cut:])
            self._size += len(head)
            if self._size > MAX_HEAD:
                raise BadAnswer("a head that is too large")
            self._parse(head)
            # llhttp and the blank line must agree on where the head ends.
            if self._head_read is not (cut is not None):
                raise BadAnswer("a malformed head")
            if cut is None:
                return rest
            found = self._finish_head()
            if found is not None:
                if whole and isinstance(found, AnswerHead):
                    self._remember(head, found)
                return rest
            data, whole = rest, False
        return b""

    def _cut(self, data: bytes) -> int | None:
        """How much of ``data`` belongs to this head; None when its end has not arrived."""
        if len(self._start) < 9:
            self._start += data[: 9 - len(self._start)]
            # llhttp also speaks RTSP, ICE, HTTP/0.9 and 2.0, and skips empty lines.
            if not (b"HTTP/1.1 ".startswith(self._start) or b"HTTP/1.0 ".startswith(self._start)):
                raise BadAnswer("not HTTP/1")
        partial = self._partial
        if partial:
            before = len(partial)
            partial += data
            end = partial.find(_BLANK_LINE, max(0, before - 3))
            return None if end < 0 else end + 4 - before
        end = data.find(_BLANK_LINE)
        if end < 0:
            partial += data
            return None
        return end + 4

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            raise BadAnswer("bytes after the answer")
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            if not self._offered:
                raise BadAnswer("a switch of protocols that nobody asked for") from None
        except HttpParserError:
            raise BadAnswer("malformed HTTP") from None

    def _finish_head(self) -> AnswerHead | bytes | None:
        """Act on a complete head; None when it was interim (RFC 9110 15.2: 100 and 103 are not passed on), the protocol
        where it was a switch.
        """
        parser = self._parser
        assert parser is not None  # noqa: S101 - it has just read the head
        status: int = parser.get_status_code()
        if not 100 <= status <= 599 or len(self._reason.translate(None, _REASON_CONTROLS)) != len(self._reason):
            raise BadAnswer("a bad status line")
        if status == 101 and self._offered:
            return self._switch()
        if status < 200:
            self._expect_head()
            return None
        http_1_1 = self._start == b"HTTP/1.1 "
        try:
            kind, length, keep_alive, headers = frame_answer(status, http_1_1, self._asked_head, self._fields)
        except ValueError as error:
            raise BadAnswer(str(error)) from None
        head = AnswerHead(status, self._reason, headers, kind, length, keep_alive)
        self._begin(head)
        return head

    def _switch(self) -> bytes:
        """The connection is no longer HTTP: there is one answer, without a body, to one of the protocols offered."""
        protocol = switched_to(self._fields)
        if protocol is None or protocol.lower() not in self._offered or self._start != b"HTTP/1.1 ":
            raise BadAnswer("a switch to a protocol that was not offered")
        self.switched = protocol
        self._parser = None
        self.response = UpstreamResponse(101, self._reason, self._fields, None)
        return protocol

    # The body

    def _feed_body(self, response: UpstreamResponse, data: bytes) -> None:
        kind = self._kind
        if self.switched is not None:
            self.early += data
        elif kind is _LENGTH:
            excess = len(data) - self._remaining
            if excess < 0:
                self._remaining = -excess
                if data:
                    response.feed(data)
                return
            if self._remaining:
                response.feed(data if not excess else data[: self._remaining])
            self._finish(clean=not excess)
        elif kind is _CHUNKED:
            if data:
                self._feed_chunks(data)
        elif kind is _CLOSE:
            if data:
                response.feed(data)
        else:
            self._finish(clean=not data)

    def _feed_chunks(self, data: bytes) -> None:
        self._overhead += len(data)
        try:
            self._parse(data)
        except BadAnswer:
            if not self._chunks_ended:
                raise
            self._finish(clean=False)
            return
        # llhttp skips empty lines after the last chunk without a word: the end must be exactly one.
        self._tail = (self._tail + data[-5:])[-5:]
        if self._chunks_ended:
            self._finish(clean=self._tail.endswith(_BLANK_LINE) and self._tail[0] not in b"\r\n")
        elif self._overhead > MAX_HEAD:
            raise BadAnswer("chunk framing without end")

    def _finish(self, *, clean: bool) -> None:
        self.done = True
        self.keep_alive = self.keep_alive and clean
        # The parser holds this object's methods: without this each answer would wait for the cycle collector.
        self._parser = None
