"""Login and logout pages. Each handler parses, calls one service and renders; they work without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.gate import Authenticated, Authenticator
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.forms import read_form, refuse_foreign, see_other
from gatekeeper.pages.next import HOME, origin_of, safe_next
from gatekeeper.pages.setup import SetupPage
from gatekeeper.pages.theme import Theme, outage, stamped
from gatekeeper.tokens.cookies import Cookies
from policies.model import Reason

_LONGEST_EMAIL: Final = 320  # characters, as in the API


class Pages:
    """What people see of the gate itself; ``routes`` puts it under the prefix.

    ``origins`` are those that ``next`` may name (``next.origins_of``); ``form_limit`` in bytes.
    """

    def __init__(
        self,
        *,
        theme: Theme,
        identity: Identity,
        login: PasswordLogin,
        authenticator: Authenticator,
        second: SecondStep,
        cookies: Cookies,
        passwords: Passwords,
        setup: FirstAdmin,
        origins: frozenset[str],
        form_limit: int,
    ) -> None:
        self._theme = theme
        self._identity = identity
        self._login = login
        self._authenticator = authenticator
        self._cookies = cookies
        self._origins = origins
        self._form_limit = form_limit
        self._setup = SetupPage(
            theme=theme,
            identity=identity,
            second=second,
            passwords=passwords,
            setup=setup,
            form_limit=form_limit,
        )

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``, static files included."""
        paged = self._theme.paged
        return [
            web.get(f"{prefix}/login", paged(self.login_form)),
            web.post(f"{prefix}/login", paged(self.log_in)),
            web.get(f"{prefix}/logout", paged(self.logout_form)),
            web.post(f"{prefix}/logout", paged(self.log_out)),
            web.get(f"{prefix}/setup/{{token}}", paged(self._setup.form)),
            web.post(f"{prefix}/setup/{{token}}", paged(self._setup.make_admin)),
            web.get(f"{prefix}/static/{{name}}", self._theme.static),
        ]

    async def login_form(self, request: web.Request) -> web.Response:
        """GET ``login``: the form, or on to ``next`` with a live session."""
        inbound = request[INBOUND]
        target = safe_next(request.query.get("next"), self._origins)
        who = await self._who(inbound)
        if who is None:
            return self._login_page(request, target)
        answer = see_other(target)
        if who.renewed is not None:
            answer.headers.add("Set-Cookie", self._cookies.set_access(who.renewed, inbound.received))
            answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})
        return answer

    async def log_in(self, request: web.Request) -> web.Response:
        """POST ``login``: both cookies and on to ``next``, or the form again with what went wrong."""
        fields = await read_form(request, self._form_limit)
        inbound = request[INBOUND]
        target = safe_next(fields.get("next"), self._origins)
        email, password = fields.get("email", "").strip(), fields.get("password", "")
        faults = _faults(email, password)
        if faults:
            fault = Problem(422, Reason.VALIDATION)
            return self._login_page(request, target, email=email[:_LONGEST_EMAIL], faults=faults, fault=fault)
        try:
            pair = await self._login.log_in(email, password, self._identity.caller(inbound), inbound.received)
        except Problem as refusal:
            return self._login_page(request, target, email=email, fault=refusal)
        except StoreUnavailable as fault:
            return self._login_page(request, target, email=email, fault=outage(fault))
        answer = see_other(target)
        self._identity.set_cookies(answer, pair, inbound.received)
        return answer

    async def logout_form(self, request: web.Request) -> web.Response:
        """GET ``logout``: asks; it changes nothing."""
        who = await self._who(request[INBOUND])
        return self._theme.page(request, "logout.html", {"email": who.principal.email if who else None})

    async def log_out(self, request: web.Request) -> web.Response:
        """POST ``logout``: this session ends, and the browser forgets it."""
        refuse_foreign(request)
        inbound = request[INBOUND]
        who = await self._who(inbound)
        if who is not None:
            await self._identity.end_sessions(who, "this", inbound.received)
        answer = see_other(f"{self._theme.prefix}/login")
        for value in self._cookies.clear():
            answer.headers.add("Set-Cookie", value)
        answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})
        return answer

    async def _who(self, inbound: InboundRequest) -> Authenticated | None:
        presented = self._authenticator.present(inbound)
        if presented.none:
            return None
        found = await self._authenticator.authenticate(presented, inbound.received)
        return None if isinstance(found, Reason) else found

    def _login_page(
        self,
        request: web.Request,
        target: str,
        *,
        email: str = "",
        faults: Mapping[str, str] | None = None,
        fault: Problem | None = None,
    ) -> web.Response:
        context = {
            "email": email,
            "next": None if target == HOME else target,
            "faults": faults or {},
            "message": _message(fault) if fault and not faults else None,
        }
        status = fault.status if fault else 200
        page = self._theme.page(request, "login.html", context, status=status, form_leads_to=origin_of(target))
        return stamped(page, fault) if fault else page


def _faults(email: str, password: str) -> dict[str, str]:
    faults = {}
    if not email:
        faults["email"] = "Enter your e-mail."
    elif len(email) > _LONGEST_EMAIL:
        faults["email"] = "That is too long for an e-mail."
    if not password:
        faults["password"] = "Enter your password."
    return faults


def _message(fault: Problem) -> str:
    wait = fault.extra.get("retry_after")
    if fault.status == 429 and isinstance(wait, int | float):
        return f"Too many attempts. Try again in {_in_words(int(wait))}."
    return fault.detail or "That did not work. Try again."


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    return f"{-(-seconds // 60)} minutes"
