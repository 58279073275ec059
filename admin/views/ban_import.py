"""Lists of bans put in force as a whole, by a page with a file and by a call. Whoever comes has proved to be there
before they choose a file, so that none is sent in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage
from pydantic import ValidationError

from admin.acts import SURE, is_sure
from admin.bodies import bans as bodies
from admin.calls import acts
from admin.guard import Visit
from admin.render import Renderer
from admin.views.bans import unsure
from gatekeeper.answers import json_answer
from gatekeeper.bans.desk import BanDesk, OwnBan
from gatekeeper.bans.lists import MOST_BYTES, MOST_LINES, BadList, read
from gatekeeper.config.types import parse_duration
from gatekeeper.errors import Problem
from gatekeeper.identity.bodies import faults
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.pages.forms import read_bounded, refuse_foreign, see_other
from policies.model import Reason

_FORM: Final = "multipart/form-data"
_TEXTS: Final = frozenset({"text", "length", "why", SURE})
_FILE: Final = "file"
_MOST_PARTS: Final = 8
_SHOWN_AGAIN: Final = 64 << 10  # bytes of a list
_ROOM: Final = 1 << 20  # bytes of a body beside its list: other fields, and escapes of a list in JSON


@dataclass(frozen=True, slots=True)
class _Asked:
    """A list to put in force, for how many seconds (None: for good), why, and whether the one who asks may be in it."""

    content: bytes
    length: float | None
    why: str
    sure: bool


class BanImport:
    """``P/admin/bans/import`` and POST ``P/admin/api/bans/import``."""

    def __init__(self, desk: BanDesk, renderer: Renderer) -> None:
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The form."""
        return self._page(request, visit, {})

    async def submit(self, request: web.Request, visit: Visit) -> web.Response:
        """POST of the form: to the bans in force, or the same page with the list's faults."""
        refuse_foreign(request)
        fields = await _parts(request)
        typed = {name: fields.get(name, b"").decode("utf-8", "replace") for name in _TEXTS}
        file, text = fields.get(_FILE, b""), fields.get("text", b"")
        if bool(file.strip()) == bool(text.strip()):
            raise invalid(_FILE, "Choose a file or paste a list, one of both.")
        asked = _Asked(
            file or text.replace(b"\r\n", b"\n"), _length(typed["length"]), checked_why(typed["why"]), is_sure(typed)
        )
        try:
            count = await self._take(asked, visit)
        except BadList as bad:
            return self._page(request, visit, typed, faults=bad.faults)
        except OwnBan as own:
            typed["text"] = _shown_again(asked.content)
            return self._page(request, visit, typed, own=own.hits)
        return see_other(f"{self._renderer.home}/bans?done={'bans-imported' if count else 'bans-none'}")

    @acts(
        "bans/import",
        "Put a list of bans in force as a whole",
        bodies.ImportBans,
        bodies.BansImported,
        by_act=False,
        form=None,
    )
    async def call(self, request: web.Request, visit: Visit) -> web.Response:
        """POST ``{"list", "length", "why"}``: ``{"done", "bans"}``; 422 with an error for each fault of the list."""
        asked = _asked(await read_bounded(request, MOST_BYTES + _ROOM), request.content_type)
        try:
            count = await self._take(asked, visit)
        except BadList as bad:
            errors = [{"pointer": "/list", "detail": fault} for fault in bad.faults]
            raise Problem(422, Reason.VALIDATION, "Nothing of the list is in force.", errors=errors) from None
        except OwnBan as own:
            raise unsure(own) from None
        return json_answer({"done": "bans-imported" if count else "bans-none", "bans": count})

    async def _take(self, asked: _Asked, visit: Visit) -> int:
        # In a thread: a large list takes a good part of a second to read.
        lines = await asyncio.to_thread(read, asked.content)
        if not lines:
            raise BadList(["names nobody"])
        return await self._desk.take_over(
            lines, visit.by, visit.now, length=asked.length, reason=asked.why, own=asked.sure
        )

    def _page(
        self,
        request: web.Request,
        visit: Visit,
        typed: Mapping[str, str],
        *,
        faults: tuple[str, ...] = (),
        own: tuple[str, ...] = (),
    ) -> web.Response:
        context = {"typed": typed, "faults": faults, "own": own, "most": MOST_LINES, "mebibytes": MOST_BYTES >> 20}
        status = 422 if faults or own else 200
        return self._renderer.page(request, visit, "bans_import.html", context, here="bans", status=status)


def _shown_again(content: bytes) -> str:
    """A list that came as a file, which a page cannot choose a second time, as text where it is short."""
    return content.decode("utf-8", "replace") if len(content) <= _SHOWN_AGAIN else ""


def _asked(raw: bytes, media_type: str) -> _Asked:
    if media_type != "application/json":
        raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE)
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Problem(400, Reason.VALIDATION, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(422, Reason.VALIDATION, "The body is not an object.")
    try:
        fields = bodies.ImportBans.model_validate(body).fields()
    except ValidationError as fault:
        raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=faults(fault)) from None
    content = fields["list"].encode("utf-8", "replace")
    return _Asked(content, _length(fields.get("length", "")), checked_why(fields["why"]), is_sure(fields))


def _length(text: str) -> float | None:
    given = text.strip()
    try:
        return float(parse_duration(given)) if given else None
    except ValueError:
        raise invalid("length", "How long is a duration such as 15m or 30d, or nothing for good.") from None


async def _parts(request: web.Request) -> dict[str, bytes]:
    """The form's parts by name, all of them together bounded. Raises Problem (400, 413, 415, 422)."""
    if request.content_type != _FORM:
        raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE, "The form was not sent the way browsers send it.")
    found: dict[str, bytes] = {}
    room = MOST_BYTES + _ROOM
    try:
        parts = await request.multipart()
        while (part := await parts.next()) is not None:
            name = part.name if isinstance(part, BodyPartReader) else None
            if not isinstance(part, BodyPartReader) or name is None or name in found or len(found) >= _MOST_PARTS:
                raise _malformed()
            found[name] = await _content(part, room)
            room -= len(found[name])
    except (ValueError, RuntimeError, BadHttpMessage, web.RequestPayloadError):
        raise _malformed() from None
    return found


async def _content(part: BodyPartReader, room: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > room:
            raise Problem(413, Reason.TOO_LARGE, f"A list is at most {MOST_BYTES >> 20} MiB large; split it.")
    return bytes(content)


def _malformed() -> Problem:
    return Problem(400, Reason.VALIDATION, "The form could not be read. Go back and send it again.")
