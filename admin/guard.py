"""Who may see the panel: admins, by two factors where their roles need them. Anonymous people are led to the login,
admins with one factor to the step-up page, others learn nothing. Used by ``admin.app``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from gatekeeper.answers import say, wanted
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated, Authenticator
from gatekeeper.browsers import is_navigation
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.gate import ENROL, same_origin
from gatekeeper.identity.setup import ROLE
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.theme import Theme, outage
from gatekeeper.surfaces.step_up import step_up_location
from gatekeeper.tokens.cookies import Cookies
from policies.model import Principal, Reason


@dataclass(frozen=True, slots=True)
class Visit:
    """An admin's request: who, and when (Unix seconds)."""

    admin: Principal
    now: float


View = Callable[[web.Request, Visit], Awaitable[web.Response]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Guard:
    """Lets admins through to a view and answers everyone else; ``factor_roles`` need two factors."""

    def __init__(
        self, *, theme: Theme, authenticator: Authenticator, cookies: Cookies, factor_roles: Collection[str]
    ) -> None:
        self._theme = theme
        self._authenticator = authenticator
        self._cookies = cookies
        self._factor_roles = frozenset(factor_roles)

    def admitting(self, view: View) -> Handler:
        """``view`` for admins only; refusals and outages as a page or as problem+json, by who asks."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await self._handle(request, view)
            except Problem as refusal:
                return self._refuse(request, refusal)
            except StoreUnavailable as fault:
                return self._refuse(request, outage(fault))

        return handle

    async def _handle(self, request: web.Request, view: View) -> web.Response:
        inbound = request[INBOUND]
        found = await self._authenticator.authenticate(inbound)
        if isinstance(found, Reason):
            return self._to_login(inbound) if is_navigation(request.headers) else say(Problem(401, found))
        if ROLE not in found.principal.roles:
            answer = self._refuse(request, Problem(404, Reason.NOT_FOUND))
        elif found.by_cookie and not same_origin(inbound):
            answer = self._refuse(request, Problem(403, Reason.CSRF))
        elif self._lacks_a_factor(found.principal):
            answer = self._to_step_up(request, inbound)
        else:
            answer = await view(request, Visit(found.principal, inbound.received))
        return self._renewed(answer, found, inbound.received)

    def _lacks_a_factor(self, admin: Principal) -> bool:
        return admin.must_enrol or (admin.acr != "2fa" and not self._factor_roles.isdisjoint(admin.roles))

    def _to_step_up(self, request: web.Request, inbound: InboundRequest) -> web.Response:
        """The page that asks for a second factor, or has one added; RFC 9470 for a call."""
        if not is_navigation(request.headers):
            return say(Problem(401, Reason.MFA_REQUIRED, "", **wanted(ENROL)))
        headers = {
            "Location": step_up_location(self._theme.prefix, inbound, ENROL),
            "Cache-Control": "no-store",
            "X-Gate-Reason": Reason.MFA_REQUIRED,
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

    def _renewed(self, answer: web.Response, who: Authenticated, now: float) -> web.Response:
        if who.renewed is not None:
            answer.headers.add("Set-Cookie", self._cookies.set_access(who.renewed, now))
            answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})
        return answer
