"""Accounts: the list, and one with what it has; ``user_acts`` has what admins do to it."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from admin.account_json import account_json, user_json
from admin.bodies import users as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.lists import ChangeFilter, ChangeRow, PanelReader
from admin.paging import SHOWN, chips, place_by_uuid, place_of, query_of, said_place
from admin.render import Renderer
from admin.user_filters import FACTORS, FILTERS, UNSEEN, said_values, users_asked
from admin.user_lists import State, UserReader, UserRow
from gatekeeper.answers import json_answer
from gatekeeper.identity.api_keys import ApiKeys
from gatekeeper.identity.device_desk import LOOKED_AT, Device, DeviceDesk
from gatekeeper.identity.factor_desk import FactorDesk
from gatekeeper.identity.session_desk import SessionDesk
from gatekeeper.identity.user_desk import UserDesk
from gatekeeper.journal.questions import LoginFilter, LoginReader
from policies.familiar import REMEMBERED

_BRIEF: Final = 10


class UserViews:
    """``P/admin/users`` and ``P/admin/api/users``."""

    def __init__(
        self,
        users: UserReader,
        reader: PanelReader,
        logins: LoginReader,
        desk: UserDesk,
        sessions: SessionDesk,
        factors: FactorDesk,
        keys: ApiKeys,
        devices: DeviceDesk,
        renderer: Renderer,
    ) -> None:
        self._users = users
        self._reader = reader
        self._logins = logins
        self._desk = desk
        self._sessions = sessions
        self._factors = factors
        self._keys = keys
        self._devices = devices
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The accounts that fit, newest first."""
        filters, rows, following = await self._asked(request, visit)
        context = {
            "users": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS, said_values(filters)),
            "choices": {"state": {one: one.replace("-", " ") for one in State}, "factor": FACTORS, "unseen": UNSEEN},
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
            "invites": self._desk.invites,
        }
        return self._renderer.page(request, visit, "users.html", context, here="users")

    @reads("users", "Accounts, newest first", bodies.Users, query=bodies.UsersPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"users": [...], "next"}``, newest first."""
        _, rows, following = await self._asked(request, visit)
        return json_answer({"users": [user_json(row) for row in rows], "next": following})

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """An account with its sessions, factors, keys, logins and changes."""
        account = await self._desk.account(request.match_info["user"])
        user = account.state.id
        sessions, factors, keys, devices, logins, changes = await asyncio.gather(
            self._sessions.of_user(user, visit.now),
            self._factors.of_user(user, visit.now),
            self._keys.of_user(user, visit.now),
            self._devices.of_user(user, visit.now),
            self._logins.page(LoginFilter(user_id=user), count=_BRIEF),
            self._changes(user),
        )
        context = {
            "account": account,
            "user": account.state,
            "sessions": sessions,
            "factors": factors,
            "keys": keys,
            "devices": devices,
            "brief": _BRIEF,
            "logins": logins,
            "changes": changes,
        }
        return self._renderer.page(request, visit, "user.html", context, here="users")

    async def devices(self, request: web.Request, visit: Visit) -> web.Response:
        """All browsers of an account, the latest first."""
        account = await self._desk.account(request.match_info["user"])
        after = place_of(request.query.get("after"))
        devices = await self._devices.of_user(account.state.id, visit.now)
        rest = devices if after is None else [one for one in devices if _place(one) < (after.at, after.id)]
        shown = rest[:SHOWN]
        context = {
            "user": account.state,
            "devices": shown,
            "looked_at": LOOKED_AT,
            "days": round(REMEMBERED / 86_400),
            "following": said_place(*_place(shown[-1])) if len(rest) > SHOWN else None,
            "first": after is None,
        }
        return self._renderer.page(request, visit, "devices.html", context, here="users")

    @reads("users/{user}", "One account with what it has", bodies.Account)
    async def one_call(self, request: web.Request, visit: Visit) -> web.Response:
        """The same as JSON, without logins and changes, which have lists of their own."""
        account = await self._desk.account(request.match_info["user"])
        user = account.state.id
        sessions, factors, keys, devices = await asyncio.gather(
            self._sessions.of_user(user, visit.now),
            self._factors.of_user(user, visit.now),
            self._keys.of_user(user, visit.now),
            self._devices.of_user(user, visit.now),
        )
        return json_answer(account_json(account, sessions, factors, keys, devices))

    async def _changes(self, user: str) -> list[ChangeRow]:
        """The latest that the account made, or that were made to it."""
        about, by = await asyncio.gather(
            self._reader.changes(ChangeFilter(subject=user), count=_BRIEF),
            self._reader.changes(ChangeFilter(actor=user), count=_BRIEF),
        )
        both = {change.id: change for change in (*about, *by)}
        return sorted(both.values(), key=lambda one: -one.id)[:_BRIEF]

    async def _asked(self, request: web.Request, visit: Visit) -> tuple[dict[str, str], list[UserRow], str | None]:
        filters, wanted = users_asked(request.query, visit.now)
        after = place_by_uuid(request.query.get("after"))
        rows = await self._users.users(wanted, visit.now, count=SHOWN + 1, after=after)
        shown = rows[:SHOWN]
        following = said_place(shown[-1].created_at, shown[-1].id) if len(rows) > SHOWN else None
        return filters, shown, following


def _place(device: Device) -> tuple[float, str]:
    return device.last.seen_at, device.last.fingerprint
