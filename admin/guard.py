"""Who may see the panel and who may act in it. Used by ``admin.app`` around every view.

Admins see and act, auditors see; both by two factors where the admins' role needs them, and not after a time without
a page. Acts want a login or step-up of the last minutes. Anonymous people are led to the login, others learn nothing.
Calls are open to API keys of admins too: a key proves nothing but itself, so its scopes say what it is for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

from aiohttp import web

from gatekeeper.answers import say, wanted
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated, Authenticator
from gatekeeper.bans.desk import Actor
from gatekeeper.browsers import is_navigation
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.gate import ENROL, same_origin
from gatekeeper.identity.setup import ROLE
from gatekeeper.identity.step_up import FRESH, StepUps
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.theme import Theme, outage
from gatekeeper.surfaces.step_up import step_up_location
from gatekeeper.tokens.cookies import Cookies
from policies.model import Principal, Reason, StepUp
from policies.scopes import ADMIN_ACT, ADMIN_READ

AUDITOR: Final = "auditor"
_READ_ONLY: Final = "This account may look at everything here, but change nothing."


class Presence(Protocol):
    """Knows which sessions have used the panel lately. Raises StoreUnavailable."""

    async def seen(self, session: str, now: float, *, fresh: bool, extend: bool) -> bool:
        """Whether it has within the idle time, or has just been proved to be its owner's (``fresh``); then ``extend``
        begins that time anew.
        """


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that was admitted: whose, when (Unix seconds), and whether they may change things."""

    admin: Principal
    now: float
    may_act: bool
    by: Actor


View = Callable[[web.Request, Visit], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Lets people through to a view and answers everyone else; ``factor_roles`` need two factors, ``idle`` seconds
    without a page end the stay.
    """

    def __init__(
        self,
        *,
        theme: Theme,
        authenticator: Authenticator,
        cookies: Cookies,
        step_ups: StepUps,
        presence: Presence,
        factor_roles: Collection[str],
        idle: float,
    ) -> None:
        self._theme = theme
        self._authenticator = authenticator
        self._cookies = cookies
        self._step_ups = step_ups
        self._presence = presence
        self._factor_roles = frozenset(factor_roles)
        self._idle = idle

    def admitting(self, view: View, *, background: bool = False, keys: bool = False) -> Handler:
        """``view`` for whoever may look; ``background`` for what a page asks by itself, which keeps nobody here.

        ``keys``: for API keys of scope ``admin:read`` too.
        """
        return self._guarded(view, acts=False, background=background, keys=keys)

    def acting(self, view: View, *, keys: bool = False) -> Handler:
        """``view`` for whoever may change things and has just proved to be there.

        ``keys``: for API keys of scope ``admin:act`` too, which was given after such a proof.
        """
        return self._guarded(view, acts=True, background=False, keys=keys)

    def _guarded(self, view: View, *, acts: bool, background: bool, keys: bool) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                if keys and self._authenticator.present(request[INBOUND]).api_key is not None:
                    return await self._by_key(request, view, ADMIN_ACT if acts else ADMIN_READ)
                return await self._handle(request, view, acts=acts, background=background)
            except Problem as refusal:
                return self._refuse(request, refusal)
            except StoreUnavailable as fault:
                return self._refuse(request, outage(fault))

        return handle

    async def _handle(self, request: web.Request, view: View, *, acts: bool, background: bool) -> web.StreamResponse:
        inbound: InboundRequest = request[INBOUND]
        found = await self._authenticator.authenticate(inbound)
        if isinstance(found, Reason):
            return self._to_login(inbound) if is_navigation(request.headers) else say(Problem(401, found))
        who, now = found.principal, inbound.received
        if who.roles.isdisjoint((ROLE, AUDITOR)):
            return self._renewed(self._refuse(request, Problem(404, Reason.NOT_FOUND)), found, now)
        if found.by_cookie and not same_origin(inbound):
            return self._renewed(self._refuse(request, Problem(403, Reason.CSRF)), found, now)
        missing = await self._missing(found, now, acts=acts, background=background)
        if missing is not None:
            return self._renewed(self._to_step_up(request, inbound, missing), found, now)
        may_act = ROLE in who.roles
        if acts and not may_act:
            raise Problem(403, Reason.RULE_DENIED, _READ_ONLY)
        by = Actor(who.subject, inbound.client, inbound.request_id, agent=request.headers.get("User-Agent"))
        return self._renewed(await view(request, Visit(who, now, may_act, by)), found, now)

    async def _by_key(self, request: web.Request, view: View, scope: str) -> web.StreamResponse:
        """For a key whose owner is an admin now, if it has the scope. Raises Problem (401, 403, 404)."""
        inbound: InboundRequest = request[INBOUND]
        found = await self._authenticator.authenticate_key(inbound)
        if isinstance(found, Reason):
            raise Problem(401, found)
        who = found.principal
        if ROLE not in who.roles or who.key is None:
            raise Problem(404, Reason.NOT_FOUND)
        if scope not in who.key.scopes:
            raise Problem(403, Reason.RULE_DENIED, f"This call wants an API key of scope {scope}.")
        by = Actor(who.subject, inbound.client, inbound.request_id, who.key.id, request.headers.get("User-Agent"))
        return await view(request, Visit(who, inbound.received, scope == ADMIN_ACT, by))

    async def _missing(self, found: Authenticated, now: float, *, acts: bool, background: bool) -> StepUp | None:
        """What has to be proved before this may go on."""
        who = found.principal
        if who.must_enrol or (who.acr != "2fa" and not self._factor_roles.isdisjoint({ROLE, *who.roles})):
            return ENROL
        if found.by_cookie:  # a token that a program holds is short-lived by itself
            fresh = now - who.auth_time <= max(self._idle, FRESH)
            if not await self._presence.seen(who.session, now, fresh=fresh, extend=not background):
                return await self._anew(who, now)
        return await self._anew(who, now) if acts and ROLE in who.roles else None

    async def _anew(self, who: Principal, now: float) -> StepUp | None:
        lacking = await self._step_ups.lacking(who, now)
        if lacking is None:
            return None
        return StepUp(lacking.reason, int(FRESH), str(lacking.extra["acr_values"]))

    def _to_step_up(self, request: web.Request, inbound: InboundRequest, missing: StepUp) -> web.Response:
        """The page that asks for it, or has a factor added; RFC 9470 for a call."""
        if not is_navigation(request.headers):
            return say(Problem(401, missing.reason, "", **wanted(missing)))
        headers = {
            "Location": step_up_location(self._theme.prefix, inbound, missing),
            "Cache-Control": "no-store",
            "X-Gate-Reason": missing.reason,
        }
        return web.Response(status=302 if inbound.method in {"GET", "HEAD"} else 303, headers=headers)

    def _refuse(self, request: web.Request, fault: Problem) -> web.Response:
        return self._theme.problem_page(request, fault) if is_navigation(request.headers) else say(fault)

    def _to_login(self, inbound: InboundRequest) -> web.Response:
        reading = inbound.method in {"GET", "HEAD"}
        back = inbound.target.origin_form if reading else f"{self._theme.prefix}/admin/"
        location = f"{self._theme.prefix}/login?next={quote(back, safe='')}"
        headers = {"Location": location, "Cache-Control": "no-store", "X-Gate-Reason": Reason.CREDENTIALS_MISSING}
        return web.Response(status=302 if reading else 303, headers=headers)

    def _renewed(self, answer: web.StreamResponse, who: Authenticated, now: float) -> web.StreamResponse:
        if who.renewed is not None and not answer.prepared:
            answer.headers.add("Set-Cookie", self._cookies.set_access(who.renewed, now))
            answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})
        return answer
