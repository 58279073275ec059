"""Accounts: the list, one with its whole story, and what admins do to it."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from admin.acts import Done, Fields
from admin.guard import Visit
from admin.lists import ChangeFilter, PanelReader, UserFilter, UserRow
from admin.paging import SHOWN, chips, filled, place_by_uuid, query_of, said_place
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.identity.user_desk import UserDesk, checked_why, invalid
from gatekeeper.journal.questions import LoginFilter, LoginReader
from gatekeeper.pages.forms import read_form
from policies.model import Reason

FILTERS: Final = {"text": "Search", "role": "Role", "state": "State"}
_STATES: Final = {"locked": True, "active": False}
_BRIEF: Final = 10


class UserViews:
    """``P/admin/users`` and ``P/admin/api/users``. ``form_limit`` in bytes."""

    def __init__(
        self, reader: PanelReader, logins: LoginReader, desk: UserDesk, renderer: Renderer, *, form_limit: int
    ) -> None:
        self._reader = reader
        self._logins = logins
        self._desk = desk
        self._renderer = renderer
        self._form_limit = form_limit

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The accounts that fit, newest first."""
        filters, rows, following = await self._asked(request, visit)
        context = {
            "users": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
            "invites": self._desk.invites,
        }
        return self._renderer.page(request, visit, "users.html", context, here="users")

    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"users": [...], "next"}``, newest first."""
        _, rows, following = await self._asked(request, visit)
        return json_answer({"users": [_row(row) for row in rows], "next": following})

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """An account with its sessions, factors, logins and changes."""
        account = await self._desk.account(request.match_info["user"])
        user = account.state.id
        sessions, factors, logins, about, by = await asyncio.gather(
            self._desk.sessions_of(user, visit.now),
            self._desk.factors_of(user, visit.now),
            self._logins.page(LoginFilter(user_id=user), count=_BRIEF),
            self._reader.changes(ChangeFilter(subject=user), count=_BRIEF),
            self._reader.changes(ChangeFilter(actor=user), count=_BRIEF),
        )
        changes = sorted({change.id: change for change in (*about, *by)}.values(), key=lambda one: -one.id)
        context = {
            "account": account,
            "user": account.state,
            "sessions": sessions,
            "factors": factors,
            "logins": logins,
            "changes": changes[:_BRIEF],
        }
        return self._renderer.page(request, visit, "user.html", context, here="users")

    async def invite(self, request: web.Request, visit: Visit) -> web.Response:
        """POST of the form: the page shows the link, once."""
        fields = await read_form(request, self._form_limit)
        roles = fields.get("roles", "").replace(",", " ").split()
        context = {"email": fields.get("email", ""), "roles": " ".join(roles), "link": None, "fault": None}
        status = 200
        try:
            email, link = await self._desk.invite(fields.get("email", ""), roles, visit.by, visit.now)
            context |= {"email": email, "link": link}
        except Problem as refusal:
            if refusal.status not in {409, 422}:
                raise
            status, context["fault"] = refusal.status, refusal.detail
        return self._renderer.page(request, visit, "invited.html", context, here="users", status=status)

    async def invite_form(self, request: web.Request, visit: Visit) -> web.Response:
        """Where an invitation begins."""
        context = {"email": "", "roles": "", "link": None, "fault": None}
        return self._renderer.page(request, visit, "invited.html", context, here="users")

    async def invite_call(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """The same for a call: e-mail and roles, with blanks between them."""
        email, link = await self._desk.invite(
            fields.get("email", ""), fields.get("roles", "").split(), visit.by, visit.now
        )
        return Done("invited", "users", {"email": email, "link": link})

    async def change(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """One of ``lock``, ``unlock``, ``logout``, ``roles``, ``reset-factors``."""
        user, act = request.match_info["user"], request.match_info["act"]
        why, now = checked_why(fields.get("why", "")), visit.now
        match act:
            case "lock":
                await self._desk.lock(user, visit.by, why, now)
                notice = "user-locked"
            case "unlock":
                await self._desk.unlock(user, visit.by, why, now)
                notice = "user-unlocked"
            case "logout":
                await self._desk.log_out(user, visit.by, why, now)
                notice = "user-logged-out"
            case "roles":
                roles = fields.get("roles", "").replace(",", " ").split()
                await self._desk.set_roles(user, roles, visit.by, why, now)
                notice = "user-roles"
            case "reset-factors":
                await self._desk.reset_factors(user, visit.by, why, now)
                notice = "user-factors"
            case _:
                raise Problem(404, Reason.NOT_FOUND)
        return Done(notice, f"users/{user}", {"id": user})

    async def _asked(self, request: web.Request, visit: Visit) -> tuple[dict[str, str], list[UserRow], str | None]:
        filters = filled(request.query, FILTERS)
        state = filters.get("state")
        if state is not None and state not in _STATES:
            raise invalid("state", "The state is locked or active.")
        wanted = UserFilter(
            text=filters.get("text"), role=filters.get("role"), locked=None if state is None else _STATES[state]
        )
        after = place_by_uuid(request.query.get("after"))
        rows = await self._reader.users(wanted, visit.now, count=SHOWN + 1, after=after)
        shown = rows[:SHOWN]
        following = said_place(shown[-1].created_at, shown[-1].id) if len(rows) > SHOWN else None
        return filters, shown, following


def _row(row: UserRow) -> dict[str, object]:
    return {
        "id": row.id,
        "email": row.email,
        "email_verified": row.email_verified,
        "name": row.name,
        "roles": list(row.roles),
        "locked": row.locked,
        "created_at": rfc3339(row.created_at),
        "last_login": None if row.last_login is None else rfc3339(row.last_login),
        "open_sessions": row.open_sessions,
        "second_factors": row.second_factors,
    }
