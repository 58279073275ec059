"""What a request must be on the wire, before anybody asks what it wants. Used by ``server.connection``.

aiohttp's parser (llhttp, strict) refuses most of what is malformed; ``fault_of_head`` refuses what it lets
through and ``fault_of_parser`` turns its exceptions into an answer that says nothing of their details.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadStatusLine, InvalidURLError, LineTooLong
from multidict import istr

from gatekeeper.inbound import METHODS
from policies.model import Reason

_HOST: Final = istr("Host")
_LENGTH: Final = istr("Content-Length")
_CODING: Final = istr("Transfer-Encoding")

_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) [^\x00-\x20\x7f]+ HTTP/([0-9]+\.[0-9]+)(?:\r|\Z)"
)
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})
_METHODS: Final = frozenset(method.encode() for method in METHODS)
_TOO_MANY: Final = "Too many headers received"  # aiohttp's words; a test notices when they change
SAMPLE: Final = 16 << 10  # bytes of a failed head that are looked at to tell 501 and 505 from 400


@dataclass(frozen=True, slots=True)
class WireFault:
    """Why a message is refused before any handler; the connection closes with the answer."""

    status: int
    reason: Reason


MALFORMED: Final = WireFault(400, Reason.VALIDATION)
NO_HOST: Final = WireFault(400, Reason.BAD_TARGET)
BODY_TOO_LARGE: Final = WireFault(413, Reason.TOO_LARGE)
HEAD_TOO_LARGE: Final = WireFault(431, Reason.TOO_LARGE)
UNKNOWN_METHOD: Final = WireFault(501, Reason.METHOD_NOT_ALLOWED)
UNKNOWN_VERSION: Final = WireFault(505, Reason.VALIDATION)


def fault_of_head(request: web.BaseRequest, *, max_body: int) -> WireFault | None:
    """What is wrong with a parsed head, or None. ``max_body`` in bytes."""
    version, headers = request.version, request.headers
    if version != HttpVersion11 and version != HttpVersion10:  # noqa: PLR1714 - a set of these costs a microsecond
        return UNKNOWN_VERSION
    if request.method not in METHODS:
        return UNKNOWN_METHOD
    if _CODING in headers:
        # RFC 9112 6.1: no coding but chunked, never in HTTP/1.0, never beside a length.
        codings = headers.getall(_CODING)
        if version == HttpVersion10 or _LENGTH in headers or len(codings) != 1 or codings[0].lower() != "chunked":
            return MALFORMED
    elif _LENGTH in headers:
        lengths = headers.getall(_LENGTH)
        if len(lengths) != 1 or not lengths[0].isascii() or not lengths[0].isdigit():
            return MALFORMED
        if int(lengths[0]) > max_body:
            return BODY_TOO_LARGE
    return None if headers.get(_HOST) else NO_HOST  # of two Hosts the parser says so itself


def head_size(request: web.BaseRequest) -> int:
    """Bytes of a head, near enough: the request line and the fields with their separators."""
    fields = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    return fields + len(request.method) + len(request.raw_path) + 12


def fault_of_parser(fault: Exception, sample: bytes) -> WireFault:
    """The answer to what the parser would not read. ``sample`` is what is known of the head's beginning."""
    if isinstance(fault, LineTooLong) or getattr(fault, "message", "") == _TOO_MANY:
        return HEAD_TOO_LARGE
    if isinstance(fault, InvalidURLError):
        return WireFault(400, Reason.BAD_TARGET)
    if isinstance(fault, BadStatusLine):
        line = _REQUEST_LINE.match(sample.lstrip(b"\r\n"))
        if line is not None and line[1] not in _METHODS:
            return UNKNOWN_METHOD
        if line is not None and line[2] not in _VERSIONS:
            return UNKNOWN_VERSION
    return MALFORMED
