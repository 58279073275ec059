"""The one search box: leads to a user, an address or a session."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from admin.guard import Visit
from admin.lists import PanelReader
from admin.render import Renderer
from admin.user_lists import UserFilter, UserReader
from gatekeeper.pages.forms import see_other

_LONGEST: Final = 254


class SearchView:
    """``P/admin/search``."""

    def __init__(self, reader: PanelReader, users: UserReader, renderer: Renderer) -> None:
        self._reader = reader
        self._users = users
        self._home = renderer.home

    async def go(self, request: web.Request, visit: Visit) -> web.Response:
        """On to what fits best."""
        text = request.query.get("q", "").strip()[:_LONGEST]
        if not text or not text.isprintable():
            return see_other(f"{self._home}/users")
        if _is_network(text):
            return see_other(f"{self._home}/logins?{urlencode({'address': text})}")
        session = await self._reader.session(text)
        if session is not None:
            return see_other(f"{self._home}/sessions/{session[0].id}")
        users = await self._users.users(UserFilter(text=text), visit.now, count=2)
        if len(users) == 1:
            return see_other(f"{self._home}/users/{users[0].id}")
        return see_other(f"{self._home}/users?{urlencode({'text': text})}")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
