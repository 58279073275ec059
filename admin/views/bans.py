"""Bans in force with their ends, those that are over, and making and lifting them; ``ban_import`` takes lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from admin.acts import Done, Fields, Unsure, is_sure
from admin.ban_lists import (
    FILTERS,
    TEXTS_REACH,
    BanFilter,
    BanReader,
    Numbered,
    Order,
    bans_asked,
    order_of,
    place_by_end,
    place_in_force,
    said,
)
from admin.bodies import bans as bodies
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import PanelReader
from admin.paging import SHOWN, chips, filled, query_of
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.bans.desk import BadBan, BanDesk, OwnBan
from gatekeeper.config.types import parse_duration
from gatekeeper.identity.user_desk import checked_why, invalid
from policies.bans import AGENT_PREFIX, Ban, BanKind, Source

_HISTORY: Final = 50
_FIELDS: Final = {"subject": "Whom"}


class BanViews:
    """``P/admin/bans`` and ``P/admin/api/bans``."""

    def __init__(self, reader: PanelReader, bans: BanReader, desk: BanDesk, renderer: Renderer) -> None:
        self._reader = reader
        self._bans = bans
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The bans in force; with a subject its history, and of an address those that reach it."""
        subject = filled(request.query, _FIELDS).get("subject")
        history, fault = None, None
        if subject is not None:
            try:
                history = await self._desk.history(subject, _HISTORY)
            except BadBan as bad:
                fault = str(bad)
        query = request.query if subject is None else {"find": subject}
        filters, wanted = bans_asked(query)
        order = order_of(request.query)
        rows: list[Numbered] = []
        following: str | None = None
        if subject is None or wanted.network is not None:
            rows, following = await self._in_force(request, visit, wanted, order)
        kept = {} if order is Order.NEWEST else {"order": str(order)}
        context = {
            **self._list(filters, wanted, rows),
            "names": await self._names([*(ban for _, ban in rows), *(history or ())]),
            "query": query_of(filters | kept),
            "kept": query_of(kept).removeprefix("?"),
            "order": order,
            "following": following,
            "first": "after" not in request.query,
            "cut": wanted.text is not None and await self._bans.beyond_reach(visit.now, ended=False),
            "subject": subject,
            "history": history,
            "fault": fault,
        }
        return self._renderer.page(request, visit, "bans.html", context, here="bans")

    @reads("bans", "Bans in force, newest first", bodies.Bans, query=bodies.BansQuery)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"bans": [...], "next"}``, in the order that is asked for."""
        _, wanted = bans_asked(request.query)
        rows, following = await self._in_force(request, visit, wanted, order_of(request.query))
        return json_answer({"bans": [ban_json(ban) for _, ban in rows], "next": following})

    async def ended(self, request: web.Request, visit: Visit) -> web.Response:
        """The bans that are over, the latest ending first."""
        filters, wanted = bans_asked(request.query)
        rows, following = await self._over(request, visit, wanted)
        context = {
            **self._list(filters, wanted, rows),
            "names": await self._names([ban for _, ban in rows]),
            "query": query_of(filters),
            "following": following,
            "first": "after" not in request.query,
            "cut": wanted.text is not None and await self._bans.beyond_reach(visit.now, ended=True),
        }
        return self._renderer.page(request, visit, "bans_ended.html", context, here="bans")

    @reads("bans/ended", "Bans that are over, the latest ending first", bodies.EndedBans, query=bodies.EndedQuery)
    async def ended_listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"bans": [...], "next"}``, the latest ending first."""
        _, wanted = bans_asked(request.query)
        rows, following = await self._over(request, visit, wanted)
        return json_answer({"bans": [past_json(ban) for _, ban in rows], "next": following})

    @reads("bans/history", "The bans of exactly one subject", bodies.History, query=bodies.SubjectQuery)
    async def history(self, request: web.Request, _visit: Visit) -> web.Response:
        """``{"bans": [...]}`` of exactly one ``subject``, newest first."""
        subject = filled(request.query, _FIELDS).get("subject", "")
        try:
            found = await self._desk.history(subject, _HISTORY)
        except BadBan as bad:
            raise invalid("subject", f"{bad}.") from None
        return json_answer({"bans": [past_json(ban) for ban in found]})

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
        return Done("ban-added", _page_after(fields), {"ban": ban_json(ban)})

    @acts("bans/lift", "Lift the ban of exactly this subject", bodies.LiftBan, bodies.BanDone)
    async def lift(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """The ban of exactly this ``subject``."""
        try:
            ban = await self._desk.lift(fields.get("subject", ""), visit.by, visit.now)
        except BadBan as bad:
            raise invalid("subject", f"{bad}.") from None
        return Done("ban-lifted", "bans", {"ban": ban_json(ban)})

    async def _names(self, bans: Sequence[Ban]) -> Mapping[str, str]:
        """The e-mails of those who made or lifted them, by their ids."""
        return await self._reader.emails({who for ban in bans for who in (ban.actor, ban.lifted_by) if who})

    def _list(self, filters: Mapping[str, str], wanted: BanFilter, rows: Sequence[Numbered]) -> dict[str, Any]:
        return {
            "bans": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "choices": {"kind": list(BanKind), "source": list(Source)},
            "reach": TEXTS_REACH,
            "narrow": wanted != BanFilter(),
            "typed": typed,
        }

    async def _in_force(
        self, request: web.Request, visit: Visit, wanted: BanFilter, order: Order
    ) -> tuple[list[Numbered], str | None]:
        after = place_in_force(request.query.get("after"), order)
        rows = await self._bans.in_force(wanted, visit.now, count=SHOWN + 1, order=order, after=after)
        return rows[:SHOWN], said(rows[SHOWN - 1], by_end=order is Order.ENDS) if len(rows) > SHOWN else None

    async def _over(self, request: web.Request, visit: Visit, wanted: BanFilter) -> tuple[list[Numbered], str | None]:
        after = place_by_end(request.query.get("after"))
        rows = await self._bans.ended(wanted, visit.now, count=SHOWN + 1, after=after)
        return rows[:SHOWN], said(rows[SHOWN - 1], by_end=True) if len(rows) > SHOWN else None


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


def ban_json(ban: Ban) -> dict[str, Any]:
    """A ban in force as calls and files have it."""
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


def past_json(ban: Ban) -> dict[str, Any]:
    """A ban with how it ended."""
    return {
        **ban_json(ban),
        "lifted": None if ban.lifted_at is None else rfc3339(ban.lifted_at),
        "lifted_by": ban.lifted_by,
    }
