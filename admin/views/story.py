"""The story of an account: logins with their signals, changes, ended sessions, newest first."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Final

from aiohttp import web

from admin.bodies import users as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.lists import ChangeRow
from admin.paging import filled, place_of, query_of, said_place
from admin.render import Renderer
from admin.story import Event, StoryReader, told
from admin.wording import clock_time, rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.identity.user_desk import UserDesk, invalid
from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.questions import LoginFilter, LoginReader
from gatekeeper.journal.rows import public
from gatekeeper.tokens.durable import SessionRecord

KINDS: Final = {"logins": "Logins", "signals": "Odd logins", "changes": "Changes", "sessions": "Ended sessions"}
_FIELDS: Final = {"kind": "Kind"}
_SHOWN: Final = 40
_ODD: Final = 1  # per cent of risk: any signal
_AHEAD: Final = 60.0  # seconds by which another node's clock may be


class StoryView:
    """``P/admin/users/{user}/story`` and ``P/admin/api/users/{user}/story``."""

    def __init__(self, reader: StoryReader, logins: LoginReader, desk: UserDesk, renderer: Renderer) -> None:
        self._reader = reader
        self._logins = logins
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """By days."""
        account = await self._desk.account(request.match_info["user"])
        events, following, kind = await self._told(request, visit, account.state.id)
        context = {
            "user": account.state,
            "days": [(day, list(some)) for day, some in groupby(events, lambda event: clock_time(event.at)[:10])],
            "kinds": KINDS,
            "kind": kind,
            "following": following,
            "query": query_of({} if kind is None else {"kind": kind}),
            "first": "after" not in request.query,
        }
        return self._renderer.page(request, visit, "story.html", context, here="users")

    @reads("users/{user}/story", "What happened to an account", bodies.Story, query=bodies.StoryPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"events": [...], "next"}``, newest first."""
        account = await self._desk.account(request.match_info["user"])
        events, following, _ = await self._told(request, visit, account.state.id)
        return json_answer({"events": [_row(event) for event in events], "next": following})

    async def _told(self, request: web.Request, visit: Visit, user: str) -> tuple[list[Event], str | None, str | None]:
        kind = filled(request.query, _FIELDS).get("kind")
        if kind is not None and kind not in KINDS:
            raise invalid("kind", f"The kind is one of {', '.join(KINDS)}.")
        place = place_of(request.query.get("after"))
        before = visit.now + _AHEAD if place is None else place.at
        attempts, changes, endings = await asyncio.gather(
            self._attempts(user, before, kind), self._changes(user, before, kind), self._endings(user, before, kind)
        )
        events, rest = told(attempts, changes, endings, count=_SHOWN)
        return events, None if rest is None else said_place(rest, "story"), kind

    async def _attempts(self, user: str, before: float, kind: str | None) -> list[Attempt]:
        if kind not in {None, "logins", "signals"}:
            return []
        wanted = LoginFilter(user_id=user, until=before, risk=_ODD if kind == "signals" else None)
        return await self._logins.page(wanted, count=_SHOWN + 1)

    async def _changes(self, user: str, before: float, kind: str | None) -> list[ChangeRow]:
        if kind not in {None, "changes"}:
            return []
        return await self._reader.changes_of(user, before, count=_SHOWN + 1)

    async def _endings(self, user: str, before: float, kind: str | None) -> list[SessionRecord]:
        if kind not in {None, "sessions"}:
            return []
        return await self._reader.endings_of(user, before, count=_SHOWN + 1)


def _row(event: Event) -> dict[str, object]:
    row: dict[str, object] = {"time": rfc3339(event.at), "kind": event.kind}
    if event.attempt is not None:
        row["login"] = public(event.attempt)
    elif event.change is not None:
        change = event.change
        row["change"] = {
            "id": change.id,
            "actor": change.actor,
            "action": change.action,
            "subject": change.subject,
            "before": change.before,
            "after": change.after,
            "address": change.address,
        }
    elif event.ending is not None:
        ending = event.ending
        row["session"] = {
            "id": ending.id,
            "started_at": rfc3339(ending.started_at),
            "reason": ending.end_reason,
            "address": str(ending.origin.address),
        }
    return row
