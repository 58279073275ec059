"""Bans in force with their ends, those that are over, and making and lifting them; ``ban_import`` takes lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from admin.acts import Done, Fields, Unsure, is_sure
from admin.bodies import bans as bodies
from admin.bodies.common import Paged
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import EndedBans, PanelReader
from admin.paging import SHOWN, filled, number_of, place_of, said_place
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.bans.desk import BadBan, BanDesk, OwnBan
from gatekeeper.config.types import parse_duration
from gatekeeper.identity.user_desk import checked_why, invalid
from policies.bans import AGENT_PREFIX, Ban, BanKind

_HISTORY: Final = 50
_FIELDS: Final = {"subject": "Whom"}


class BanViews:
    """``P/admin/bans`` and ``P/admin/api/bans``."""

    def __init__(self, reader: PanelReader, ended: EndedBans, desk: BanDesk, renderer: Renderer) -> None:
        self._reader = reader
        self._ended = ended
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The bans in force, newest first; with a subject its history."""
        rows, following = await self._asked(request, visit)
        subject = filled(request.query, _FIELDS).get("subject")
        history, fault = None, None
        if subject is not None:
            try:
                history = await self._desk.history(subject, _HISTORY)
            except BadBan as bad:
                fault = str(bad)
        context = {
            "bans": rows,
            "names": await self._names([*(ban for _, ban in rows), *(history or ())]),
            "typed": typed,
            "following": following,
            "first": "after" not in request.query,
            "subject": subject,
            "history": history,
            "fault": fault,
        }
        return self._renderer.page(request, visit, "bans.html", context, here="bans")

    @reads("bans", "Bans in force, newest first", bodies.Bans, query=Paged)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"bans": [...], "next"}``, newest first."""
        rows, following = await self._asked(request, visit)
        return json_answer({"bans": [_row(ban) for _, ban in rows], "next": following})

    async def ended(self, request: web.Request, visit: Visit) -> web.Response:
        """The bans that are over, the latest ending first."""
        rows, following = await self._over(request, visit)
        context = {
            "bans": rows,
            "names": await self._names([ban for _, ban in rows]),
            "typed": typed,
            "following": following,
            "first": "after" not in request.query,
        }
        return self._renderer.page(request, visit, "bans_ended.html", context, here="bans")

    @reads("bans/ended", "Bans that are over, the latest ending first", bodies.EndedBans, query=Paged)
    async def ended_listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"bans": [...], "next"}``, the latest ending first."""
        rows, following = await self._over(request, visit)
        return json_answer({"bans": [_past(ban) for _, ban in rows], "next": following})

    @reads("bans/history", "The bans of exactly one subject", bodies.History, query=bodies.SubjectQuery)
    async def history(self, request: web.Request, _visit: Visit) -> web.Response:
        """``{"bans": [...]}`` of exactly one ``subject``, newest first."""
        subject = filled(request.query, _FIELDS).get("subject", "")
        try:
            found = await self._desk.history(subject, _HISTORY)
        except BadBan as bad:
            raise invalid("subject", f"{bad}.") from None
        return json_answer({"bans": [_past(ban) for ban in found]})

    @acts("bans", "Ban somebody", bodies.AddBan, bodies.BanDone)
    async def add(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """``subject``, ``length`` (none: for good), ``why``, and ``sure`` for what would shut out the one who asks."""
        length = fields.get("length", "").strip()
        why = checked_why(fields.get("why", ""))
        try:
            seconds = float(parse_duration(length)) if length else None
        except ValueError:
            raise invalid("length", "How long is a duration such as 15m or 30d, or nothing for good.") from None
        try:
            ban, _ = await self._desk.add(
                fields.get("subject", ""), visit.by, visit.now, length=seconds, reason=why, own=is_sure(fields)
            )
        except OwnBan as own:
            raise unsure(own) from None
        except BadBan as bad:
            raise invalid("subject", f"{bad}.") from None
        return Done("ban-added", _page_after(fields), {"ban": _row(ban)})

    @acts("bans/lift", "Lift the ban of exactly this subject", bodies.LiftBan, bodies.BanDone)
    async def lift(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """The ban of exactly this ``subject``."""
        try:
            ban = await self._desk.lift(fields.get("subject", ""), visit.by, visit.now)
        except BadBan as bad:
            raise invalid("subject", f"{bad}.") from None
        return Done("ban-lifted", "bans", {"ban": _row(ban)})

    async def _names(self, bans: Sequence[Ban]) -> Mapping[str, str]:
        """The e-mails of those who made or lifted them, by their ids."""
        return await self._reader.emails({who for ban in bans for who in (ban.actor, ban.lifted_by) if who})

    async def _asked(self, request: web.Request, visit: Visit) -> tuple[list[tuple[int, Ban]], int | None]:
        rows = await self._reader.bans(visit.now, count=SHOWN + 1, after=number_of(request.query.get("after")))
        return rows[:SHOWN], rows[SHOWN - 1][0] if len(rows) > SHOWN else None

    async def _over(self, request: web.Request, visit: Visit) -> tuple[list[tuple[int, Ban]], str | None]:
        place = place_of(request.query.get("after"))
        after = None if place is None else (place.at, number_of(place.id) or 0)
        rows = await self._ended.ended(visit.now, count=SHOWN + 1, after=after)
        if len(rows) <= SHOWN:
            return rows, None
        number, last = rows[SHOWN - 1]
        return rows[:SHOWN], said_place(last.ended_at or 0.0, str(number))


def _page_after(fields: Fields) -> str:
    return "limits" if fields.get("back") == "limits" else "bans"


def unsure(own: OwnBan, back: str = "bans") -> Unsure:
    """What an admin is asked about a ban that would meet them; ``back`` is the page they come from."""
    return Unsure(own.hits, label="Ban it all the same", back=back)


def typed(ban: Ban) -> str:
    """The subject as a person types it."""
    match ban.subject.kind:
        case BanKind.AGENT:
            return f"{AGENT_PREFIX}{ban.subject.text}"
        case BanKind.USER:
            return f"user:{ban.subject.text}"
    return ban.subject.text


def _row(ban: Ban) -> dict[str, Any]:
    return {
        "subject": typed(ban),
        "kind": str(ban.subject.kind),
        "label": ban.label,
        "source": str(ban.source),
        "reason": ban.reason,
        "by": ban.actor,
        "since": rfc3339(ban.since),
        "until": None if ban.until is None else rfc3339(ban.until),
    }


def _past(ban: Ban) -> dict[str, Any]:
    return {
        **_row(ban),
        "lifted": None if ban.lifted_at is None else rfc3339(ban.lifted_at),
        "lifted_by": ban.lifted_by,
    }
