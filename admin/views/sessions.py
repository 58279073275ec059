"""Sessions that live: a page, its JSON, and ending one, all of a user or all of a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import sessions as bodies
from admin.bodies.common import DoneTo
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import OpenedBy, PanelReader, SessionFilter, ShownFactor
from admin.open_sessions import OpenSession, OpenSessions
from admin.paging import SHOWN, ago_of, chips, country_of, filled, network_of, one_of, place_of, query_of, said_place
from admin.render import Renderer
from admin.wording import device, rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.identity.session_desk import SessionDesk
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.tokens.durable import SessionRecord
from policies.model import Reason

FILTERS: Final = {
    "user": "User",
    "address": "Address",
    "country": "Country",
    "city": "City",
    "agent": "Device",
    "method": "Signed in by",
    "factor": "Second factor",
    "age": "Signed in over",
    "idle": "Unused",
}
#: Values of filters that people know by other words.
CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "method": {OpenedBy.PASSWORD: "a password", OpenedBy.CODE: "a mailed code", OpenedBy.PASSKEY: "a passkey"},
    "factor": {ShownFactor.NONE: "none", ShownFactor.ANY: "any", ShownFactor.PASSKEY: "a passkey"},
    "age": {"1d": "a day ago", "7d": "a week ago", "30d": "30 days ago"},
    "idle": {"1h": "for an hour", "1d": "for a day", "3d": "for 3 days", "7d": "for a week"},
}


class SessionViews:
    """``P/admin/sessions`` and ``P/admin/api/sessions``."""

    def __init__(self, reader: PanelReader, sessions: OpenSessions, desk: SessionDesk, renderer: Renderer) -> None:
        self._reader = reader
        self._sessions = sessions
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The living sessions that fit, newest first."""
        filters, wanted = _asked(request.query, visit.now)
        entries, following = await self._page(request, wanted, visit)
        context = {
            "sessions": entries,
            "filters": filters,
            "chips": chips(filters, FILTERS, _said(filters)),
            "choices": CHOICES,
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
        }
        return self._renderer.page(request, visit, "sessions.html", context, here="sessions")

    @reads("sessions", "Open sessions, newest first", bodies.Sessions, query=bodies.SessionsPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"sessions": [...], "next"}``, newest first."""
        _, wanted = _asked(request.query, visit.now)
        entries, following = await self._page(request, wanted, visit)
        return json_answer({"sessions": [_row(entry) for entry in entries], "next": following})

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """One session, living or not."""
        entry = await self._one(request, visit)
        context = {"entry": entry, "idles_out": entry.live.seen_at + self._sessions.idle_ttl if entry.live else None}
        return self._renderer.page(request, visit, "session.html", context, here="sessions")

    @reads("sessions/{session}", "One session, living or not", bodies.Session)
    async def one_call(self, request: web.Request, visit: Visit) -> web.Response:
        """The same as JSON."""
        return json_answer(_row(await self._one(request, visit)))

    @reads("sessions/count", "How many sessions fit", bodies.SessionCount, query=bodies.MatchingSessions)
    async def count(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"count", "whole"}``, by the durable record: some may have idled out."""
        _, wanted = _asked(request.query, visit.now)
        found = await self._sessions.count(wanted, visit.now)
        return json_answer({"count": found.sessions, "whole": found.whole})

    async def confirm_all(self, request: web.Request, visit: Visit) -> web.Response:
        """How many sessions of a filter would end."""
        filters, wanted = _asked(request.query, visit.now)
        if not filters:
            raise invalid("user", "Choose whose or which sessions first: not all of everybody's are ended at once.")
        context = {
            "filters": filters,
            "chips": chips(filters, FILTERS, _said(filters)),
            "query": query_of(filters),
            "found": await self._sessions.count(wanted, visit.now),
        }
        return self._renderer.page(request, visit, "sessions_end.html", context, here="sessions")

    @acts(
        "sessions/{session}", "End a session", bodies.EndSession, DoneTo, method="DELETE", form="sessions/{session}/end"
    )
    async def end(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End one."""
        record, _ = await self._found(request)
        why = checked_why(fields.get("why", "by a call" if request.method == "DELETE" else ""))
        await self._desk.end(record, visit.by, why, visit.now)
        page = f"users/{record.user_id}" if fields.get("back") == "user" else "sessions"
        return Done("session-ended", page, {"id": record.id})

    @acts("sessions/end", "End every session of a filter", bodies.EndSessions, bodies.EndedSessions)
    async def end_all(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End all of a filter, but the one that asks."""
        filters, wanted = _asked(fields, visit.now)
        if not filters:
            raise invalid("user", "Choose whose or which sessions first.")
        why = checked_why(fields.get("why", ""))
        described = ", ".join(f"{name} {value}" for name, value in filters.items())
        matching = self._sessions.portions(wanted, visit.now, but=visit.admin.session)
        count = await self._desk.end_all(matching, described, visit.by, why, visit.now)
        return Done("sessions-ended", "sessions", {"ended": count})

    async def _page(
        self, request: web.Request, wanted: SessionFilter, visit: Visit
    ) -> tuple[list[OpenSession], str | None]:
        after = place_of(request.query.get("after"))
        entries, behind = await self._sessions.page(wanted, visit.now, after, count=SHOWN)
        return entries, None if behind is None else said_place(behind.at, behind.id)

    async def _one(self, request: web.Request, visit: Visit) -> OpenSession:
        record, email = await self._found(request)
        return await self._sessions.one(record, email, visit.now)

    async def _found(self, request: web.Request) -> tuple[SessionRecord, str]:
        found = await self._reader.session(request.match_info["session"])
        if found is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such session.")
        return found


def _asked(fields: Fields, now: float) -> tuple[dict[str, str], SessionFilter]:
    filters = filled(fields, FILTERS)
    return filters, SessionFilter(
        email=filters.get("user"),
        network=network_of(filters.get("address")),
        country=country_of(filters.get("country")),
        city=filters.get("city"),
        agent=filters.get("agent"),
        method=one_of(OpenedBy, filters.get("method"), "method"),
        factor=one_of(ShownFactor, filters.get("factor"), "factor"),
        started_before=ago_of(filters.get("age"), "age", now),
        seen_before=ago_of(filters.get("idle"), "idle", now),
    )


def _said(filters: Fields) -> dict[str, str]:
    return {name: words.get(filters.get(name, ""), filters.get(name, "")) for name, words in CHOICES.items()}


def _row(entry: OpenSession) -> dict[str, object]:
    record, live = entry.record, entry.live
    return {
        "id": record.id,
        "user_id": record.user_id,
        "email": entry.email,
        "started_at": rfc3339(record.started_at),
        "seen_at": rfc3339(live.seen_at) if live else None,
        "expires_at": rfc3339(record.expires_at),
        "refreshed_at": rfc3339(live.rotated_at) if live else None,
        "generation": live.generation if live else None,
        "acr": live.acr if live else None,
        "proved_at": rfc3339(live.auth_time) if live else None,
        "second_factor_at": rfc3339(live.mfa_time) if live and live.mfa_time else None,
        "must_enrol": live.must_enrol if live else None,
        "connections": entry.held,
        "address": str(record.origin.address),
        "country": record.origin.country,
        "city": record.origin.city,
        "device": device(record.origin.user_agent),
        "user_agent": record.origin.user_agent,
        "amr": list(record.amr),
    }
