"""What the server itself answers: refusals before any handler, and the failure of one. Used by ``server.connection``.

Nothing here repeats what a client sent or what the parser thought of it (security 28).
"""

from __future__ import annotations

import logging
from typing import Final

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from gatekeeper.answers import problem, say
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.server.wire import UNKNOWN_VERSION, WireFault, fault_of_parser

log = logging.getLogger("gatekeeper.server")

FAILED: Final = orjson.dumps({"type": "about:blank", "title": "Internal Server Error", "status": 500})


class Refusal(HttpProcessingError):
    """A WireFault on its way through aiohttp's queue of messages."""

    def __init__(self, fault: WireFault) -> None:
        super().__init__(code=fault.status)
        self.fault = fault


async def refuse(request: web.BaseRequest, fault: WireFault) -> web.StreamResponse:
    """The answer to a request that reaches no handler; it closes the connection."""
    if fault is UNKNOWN_VERSION:
        _speak_1_1(request)
    return _refusal(fault)


def answer_to(request: web.BaseRequest, raised: BaseException | None) -> web.StreamResponse:
    """The answer to what the parser would not read, or to what a handler let escape; it closes the connection."""
    answer: web.StreamResponse
    if isinstance(raised, Refusal):
        answer = _refusal(raised.fault)
    elif isinstance(raised, HttpProcessingError | RequestPayloadError):
        answer = _refusal(fault_of_parser(raised, b""))
    elif isinstance(raised, Problem):
        answer = say(raised)
    else:
        answer = _failure(request, raised)
    answer.force_close()
    _speak_1_1(request)
    return answer


def _refusal(fault: WireFault) -> web.StreamResponse:
    answer = problem(fault.reason, status=fault.status)
    answer.force_close()
    return answer


def _failure(request: web.BaseRequest, raised: BaseException | None) -> web.StreamResponse:
    inbound = request.get(INBOUND)
    request_id = inbound.request_id if inbound is not None else "-"
    log.error("request %s failed", request_id, exc_info=raised, extra={"request_id": request_id})
    return web.Response(
        body=FAILED, status=500, content_type="application/problem+json", headers={"Cache-Control": "no-store"}
    )


def _speak_1_1(request: web.BaseRequest) -> None:
    """Answer in our own version (RFC 9110 6.2), not in one we do not know or that aiohttp made up for an error."""
    request._version = HttpVersion11  # noqa: SLF001 - the status line is made from it, and there is no setter
    request._cache.pop("version", None)  # noqa: SLF001 - what ``version`` said before
