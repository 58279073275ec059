"""The admin panel under ``P/admin``: its views behind the guard. Built by ``gatekeeper.app``."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from admin.guard import Guard, Visit
from admin.queries import AttemptReader, LiveSessions, PanelQueries, SessionReader
from admin.render import Renderer
from admin.views.logins import LoginViews
from admin.views.overview import OverviewViews
from admin.views.sessions import SessionViews
from gatekeeper.authenticator import Authenticator
from gatekeeper.errors import Problem
from gatekeeper.pages.theme import Theme
from gatekeeper.tokens.cookies import Cookies
from policies.model import Reason


class Panel:
    """Read-only so far: the last login attempts and the living sessions. ``idle_ttl`` in seconds; ``factor_roles``
    need two factors.

    ``theme`` must know the package ``admin``.
    """

    def __init__(
        self,
        *,
        theme: Theme,
        authenticator: Authenticator,
        cookies: Cookies,
        attempts: AttemptReader,
        sessions: SessionReader,
        live: LiveSessions,
        idle_ttl: float,
        factor_roles: Collection[str],
    ) -> None:
        queries = PanelQueries(attempts=attempts, sessions=sessions, live=live, idle_ttl=idle_ttl)
        renderer = Renderer(theme)
        self._guard = Guard(theme=theme, authenticator=authenticator, cookies=cookies, factor_roles=factor_roles)
        self._overview = OverviewViews(queries, renderer)
        self._logins = LoginViews(queries, renderer)
        self._sessions = SessionViews(queries, renderer)
        self._home = f"{theme.prefix}/admin/"

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Everything under ``P/admin``; what is not there is guarded too, so that nobody can map it."""
        panel, admitting = f"{prefix}/admin", self._guard.admitting
        return [
            web.get(panel, admitting(self._to_home)),
            web.get(f"{panel}/", admitting(self._overview.page)),
            web.get(f"{panel}/logins", admitting(self._logins.page)),
            web.get(f"{panel}/sessions", admitting(self._sessions.page)),
            web.get(f"{panel}/api/logins", admitting(self._logins.listing)),
            web.get(f"{panel}/api/sessions", admitting(self._sessions.listing)),
            web.route("*", f"{panel}{{rest:(?:/.*)?}}", admitting(_nothing)),
        ]

    async def _to_home(self, _request: web.Request, _visit: Visit) -> web.Response:
        return web.Response(status=302, headers={"Location": self._home, "Cache-Control": "no-store"})


async def _nothing(_request: web.Request, _visit: Visit) -> web.Response:
    raise Problem(404, Reason.NOT_FOUND)
