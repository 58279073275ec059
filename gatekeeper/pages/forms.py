"""Forms: who may send one, reading it strictly, and where it leads. Called by the pages' POSTs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.gate import same_origin
from policies.model import Reason

_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 32
_ENCODED = re.compile(rb"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")  # WHATWG URL 5.2: visible ASCII and whole escapes


def refuse_foreign(request: web.Request) -> None:
    """Only a page of the gate may send a form here (security 8). Raises Problem (403 csrf)."""
    if not same_origin(request[INBOUND]):
        raise Problem(403, Reason.CSRF, "This form was sent from somewhere else. Open the page here and try again.")


async def read_form(request: web.Request, limit: int) -> Mapping[str, str]:
    """The fields by name of a form that a page of the gate sent.

    Raises Problem: 403 from elsewhere, 400 malformed, 413 over ``limit`` bytes, 415 of another media type. Fields
    that nobody asked for are the caller's to leave alone (browser extensions add some); one that comes twice has no
    one meaning. The deadline of a stalled body is the connection's.
    """
    refuse_foreign(request)
    if request.content_type != _MEDIA_TYPE:
        raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE, "The form was not sent the way browsers send it.")
    raw = await read_bounded(request, limit)
    if _ENCODED.fullmatch(raw) is None:
        raise _malformed()
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # also where escapes are not UTF-8
        raise _malformed() from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _malformed()
    return fields


def see_other(location: str) -> web.Response:
    """303 to ``location``, which is sent exactly as it was judged."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})


async def read_bounded(request: web.Request, limit: int) -> bytes:
    """The body as it came. Raises Problem: 400 where it breaks off, 413 over ``limit`` bytes."""
    if request.content_length is not None and request.content_length > limit:
        raise _too_large()
    raw = bytearray()
    try:
        async for part in request.content.iter_any():
            raw += part
            if len(raw) > limit:
                raise _too_large()
    except web.RequestPayloadError:
        raise _malformed() from None
    return bytes(raw)


def _malformed() -> Problem:
    return Problem(400, Reason.VALIDATION, "The form could not be read. Go back and send it again.")


def _too_large() -> Problem:
    return Problem(413, Reason.TOO_LARGE, "The form is larger than the gate takes.")
