"""The admin panel under ``P/admin``: its views behind the guard. Built by ``gatekeeper.app.panel``."""

from __future__ import annotations

from dataclasses import dataclass, fields

from aiohttp import web

from admin.acts import Acts
from admin.calls import Answered, Call, asked_well, calls_of, done_by, unanswered
from admin.guard import Guard, Handler, View, Visit
from admin.render import Renderer
from admin.sure import SurePage
from admin.views.activity import ActivityViews
from admin.views.ban_files import BanFiles
from admin.views.ban_import import BanImport
from admin.views.bans import BanViews
from admin.views.config import ConfigViews
from admin.views.exports import LoginExports
from admin.views.keys import KeyViews
from admin.views.limits import LimitViews
from admin.views.live import LiveViews
from admin.views.logins import LoginViews
from admin.views.mail import MailViews
from admin.views.map import MapViews
from admin.views.newcomers import NewcomerViews
from admin.views.overview import OverviewViews
from admin.views.rules import RuleViews
from admin.views.search import SearchView
from admin.views.sessions import SessionViews
from admin.views.signals import SignalViews
from admin.views.story import StoryView
from admin.views.trial import TrialViews
from admin.views.trusting import TrustView
from admin.views.user_acts import UserActs
from admin.views.user_bulk import UserBulk
from admin.views.user_files import UserFiles
from admin.views.users import UserViews
from gatekeeper.errors import Problem
from policies.model import Reason
from policies.scopes import ADMIN_ACT


@dataclass(frozen=True, slots=True)
class Views:
    """One a subject."""

    overview: OverviewViews
    signals: SignalViews
    logins: LoginViews
    exports: LoginExports
    trusting: TrustView
    map: MapViews
    sessions: SessionViews
    users: UserViews
    user_acts: UserActs
    user_bulk: UserBulk
    user_files: UserFiles
    newcomers: NewcomerViews
    story: StoryView
    bans: BanViews
    ban_files: BanFiles
    ban_import: BanImport
    limits: LimitViews
    rules: RuleViews
    trial: TrialViews
    activity: ActivityViews
    live: LiveViews
    mail: MailViews
    keys: KeyViews
    config: ConfigViews
    search: SearchView


class Panel:
    """The routes. ``body_limit`` in bytes of a form."""

    def __init__(self, guard: Guard, views: Views, renderer: Renderer, *, prefix: str, body_limit: int) -> None:
        self._guard = guard
        self._views = views
        self._home = f"{prefix}/admin"
        self._acts = Acts(self._home, body_limit, SurePage(renderer).ask)

    def routes(self) -> list[web.RouteDef]:
        """Everything under ``P/admin``; what is not there is guarded too, so that nobody can map it."""
        admitting = self._guard.admitting
        return [
            web.get(self._home, admitting(self._to_home)),
            *self._pages(),
            *self._forms(),
            *(self._routed(call) for call in self._calls()),
            web.route("*", f"{self._home}/api/{{call:.*}}", admitting(self._no_call(), keys=True)),
            web.route("*", f"{self._home}{{rest:(?:/.*)?}}", admitting(_nothing)),
        ]

    def _pages(self) -> list[web.RouteDef]:
        views = self._views
        pages: dict[str, View] = {
            "": views.overview.page,
            "signals": views.signals.page,
            "logins": views.logins.page,
            "logins.csv": views.exports.csv,
            "logins.jsonl": views.exports.json_lines,
            "logins/{attempt}": views.logins.one,
            "map": views.map.page,
            "sessions": views.sessions.page,
            "sessions/end": views.sessions.confirm_all,
            "sessions/{session}": views.sessions.one,
            "users": views.users.page,
            "users.csv": views.user_files.csv,
            "users.jsonl": views.user_files.json_lines,
            "users/bulk": views.user_bulk.page,
            "users/invite": views.newcomers.invite_form,
            "users/new": views.newcomers.create_form,
            "users/{user}": views.users.one,
            "users/{user}/story": views.story.page,
            "users/{user}/devices": views.users.devices,
            "bans": views.bans.page,
            "bans.csv": views.ban_files.csv,
            "bans.jsonl": views.ban_files.json_lines,
            "bans/ended": views.bans.ended,
            "bans/ended.csv": views.ban_files.ended_csv,
            "bans/ended.jsonl": views.ban_files.ended_json_lines,
            "limits": views.limits.page,
            "rules": views.rules.page,
            "rules/named/{rule}": views.rules.one,
            "rules/check": views.trial.page,
            "activity": views.activity.page,
            "activity/live": views.live.page,
            "activity/{change}": views.activity.one,
            "mail": views.mail.page,
            "keys": views.keys.page,
            "config": views.config.page,
            "search": views.search.go,
        }
        return [web.get(f"{self._home}/{path}", self._looking(view)) for path, view in pages.items()]

    def _forms(self) -> list[web.RouteDef]:
        """Those of acts, as these are declared, and those that answer with a page of their own."""
        views, home, acting = self._views, self._home, self._guard.acting
        admitting = self._guard.admitting  # what changes nothing, auditors may have too
        routes = [
            web.post(f"{home}/users/invite", acting(views.newcomers.invite)),
            web.post(f"{home}/users/new", acting(views.newcomers.create)),
            web.get(f"{home}/bans/import", acting(views.ban_import.page)),
            web.post(f"{home}/bans/import", acting(views.ban_import.submit)),
            web.post(f"{home}/rules/check", admitting(views.trial.judge)),
            web.post(f"{home}/activity/verify", admitting(views.activity.verified)),
        ]
        return routes + [
            web.post(f"{home}/{one.call.form}", acting(self._acts.by_form(one.by)))
            for one in self._calls()
            if one.call.form is not None
        ]

    @property
    def declared(self) -> list[Call]:
        """The calls under ``api``."""
        return [answered.call for answered in self._calls()]

    def _calls(self) -> list[Answered]:
        return calls_of(getattr(self._views, one.name) for one in fields(self._views))

    def _no_call(self) -> View:
        return unanswered(self.declared, f"{self._home.removesuffix('admin')}openapi.json")

    def _routed(self, answered: Answered) -> web.RouteDef:
        call, by = answered.call, answered.by
        view = done_by(call, by) if call.by_act else asked_well(call, by)
        if call.scope == ADMIN_ACT:
            handler = self._guard.acting(view, keys=True)
        elif call.background:
            handler = self._guard.admitting(view, background=True, keys=True)
        else:
            handler = self._looking(view, keys=True)
        path = f"{self._home}/api/{call.path}"
        return web.get(path, handler) if call.method == "GET" else web.route(call.method, path, handler)

    def _looking(self, view: View, *, keys: bool = False) -> Handler:
        """A page that asks for itself again (htmx says so) keeps nobody's stay alive."""
        here = self._guard.admitting(view, keys=keys)
        by_itself = self._guard.admitting(view, background=True, keys=keys)

        async def handle(request: web.Request) -> web.StreamResponse:
            return await (by_itself if "HX-Request" in request.headers else here)(request)

        return handle

    async def _to_home(self, _request: web.Request, _visit: Visit) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{self._home}/", "Cache-Control": "no-store"})


async def _nothing(_request: web.Request, _visit: Visit) -> web.Response:
    raise Problem(404, Reason.NOT_FOUND)
