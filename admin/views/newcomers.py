"""New accounts: by an invitation, or made at once with a password. What is shown is shown once."""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import web

from admin.account_json import roles_of
from admin.acts import Done, Fields
from admin.bodies import users as bodies
from admin.calls import acts
from admin.guard import Visit
from admin.render import Renderer
from gatekeeper.errors import Problem
from gatekeeper.identity.user_desk import UserDesk
from gatekeeper.pages.forms import read_form
from gatekeeper.tokens.sessions import UserState

_RANDOM: Final = 15  # bytes of a password that nobody has chosen
_REFUSALS: Final = frozenset({409, 422})


class NewcomerViews:
    """``P/admin/users/invite`` and ``P/admin/users/new``. ``form_limit`` in bytes."""

    def __init__(self, desk: UserDesk, renderer: Renderer, *, form_limit: int) -> None:
        self._desk = desk
        self._renderer = renderer
        self._form_limit = form_limit

    async def invite_form(self, request: web.Request, visit: Visit) -> web.Response:
        """Where an invitation begins."""
        context = {"email": "", "roles": "", "link": None, "fault": None}
        return self._renderer.page(request, visit, "invited.html", context, here="users")

    async def invite(self, request: web.Request, visit: Visit) -> web.Response:
        """POST of the form: the page shows the link, once."""
        fields = await read_form(request, self._form_limit)
        roles = roles_of(fields)
        context = {"email": fields.get("email", ""), "roles": " ".join(roles), "link": None, "fault": None}
        status = 200
        try:
            email, link = await self._desk.invite(fields.get("email", ""), roles, visit.by, visit.now)
            context |= {"email": email, "link": link}
        except Problem as refusal:
            if refusal.status not in _REFUSALS:
                raise
            status, context["fault"] = refusal.status, refusal.detail
        return self._renderer.page(request, visit, "invited.html", context, here="users", status=status)

    @acts("users/invite", "Invite somebody", bodies.Invite, bodies.Invited, form=None, refusals=(409,))
    async def invite_call(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """The same for a call: e-mail and roles, with blanks between them."""
        email, link = await self._desk.invite(fields.get("email", ""), roles_of(fields), visit.by, visit.now)
        return Done("invited", "users", {"email": email, "link": link})

    async def create_form(self, request: web.Request, visit: Visit) -> web.Response:
        """Where an account begins."""
        context = {
            "invites": self._desk.invites,
            **dict.fromkeys(("email", "name", "roles"), ""),
            "must_change": True,
            "made": None,
            "fault": None,
        }
        return self._renderer.page(request, visit, "created.html", context, here="users")

    async def create(self, request: web.Request, visit: Visit) -> web.Response:
        """POST of the form: the page shows a password that was made up, once."""
        fields = await read_form(request, self._form_limit)
        context: dict[str, object] = {
            **{name: fields.get(name, "") for name in ("email", "name", "roles")},
            "must_change": "must_change" in fields,
            "invites": self._desk.invites,
            "made": None,
            "fault": None,
        }
        status = 200
        try:
            context["made"], context["password"] = await self._create(visit, fields)
        except Problem as refusal:
            if refusal.status not in _REFUSALS:
                raise
            status, context["fault"] = refusal.status, refusal.detail
        return self._renderer.page(request, visit, "created.html", context, here="users", status=status)

    @acts("users", "Make an account", bodies.NewUser, bodies.UserMade, form=None, refusals=(409,))
    async def create_call(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """The same for a call; without a password in it the answer has one."""
        user, password = await self._create(visit, fields)
        shown = {} if password is None else {"password": password}
        return Done("user-added", f"users/{user.id}", {"id": user.id, "email": user.email, **shown})

    async def _create(self, visit: Visit, fields: Fields) -> tuple[UserState, str | None]:
        """The account, and its password where none was given."""
        given = fields.get("password", "")
        password = given or secrets.token_urlsafe(_RANDOM)
        user = await self._desk.create(
            fields.get("email", ""),
            password,
            visit.by,
            visit.now,
            name=fields.get("name"),
            roles=roles_of(fields),
            must_change=fields.get("must_change", "") in {"1", "true"},
        )
        return user, None if given else password
