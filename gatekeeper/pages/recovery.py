"""A forgotten password: asking for a link, and the page behind it. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.links import LinkPurpose
from gatekeeper.identity.passwords import PasswordRules
from gatekeeper.identity.recovery import Recovery
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import outage
from gatekeeper.pages.typed import LONGEST_EMAIL, email_faults, email_of, service_faults
from policies.model import Reason


class RecoveryPages:
    """The handlers of ``P/forgot`` and ``P/reset``."""

    def __init__(self, frame: Frame, recovery: Recovery, rules: PasswordRules) -> None:
        self._frame = frame
        self._recovery = recovery
        self._rules = rules

    async def forgot_form(self, request: web.Request) -> web.Response:
        """GET ``forgot``: whose password?"""
        return self._forgot_page(request, self._frame.target(request.query.get("next")))

    async def forgot(self, request: web.Request) -> web.Response:
        """POST ``forgot``: a link is mailed; the same page whoever the e-mail belongs to (security 15)."""
        fields = await self._frame.form(request)
        target, email = self._frame.target(fields.get("next")), email_of(fields)
        faults = email_faults(email, self._frame.theme.language_of(request))
        if faults:
            return self._forgot_page(request, target, email, Problem(422, Reason.VALIDATION), faults)
        inbound = request[INBOUND]
        try:
            await self._recovery.forgot(email, self._frame.identity.caller(inbound), inbound.received)
        except Problem as refusal:
            return self._forgot_page(request, target, email, refusal)
        except StoreUnavailable as fault:
            return self._forgot_page(request, target, email, outage(fault))
        context = {"here": None, "email": email, "login": with_next(self._frame.address("login"), target)}
        return self._frame.page(request, "forgot_sent.html", context)

    async def reset_form(self, request: web.Request) -> web.Response:
        """GET ``reset``: a form, which spends nothing; 400 where the link is not good."""
        token = request.query.get("token", "")
        link = await self._recovery.find(token, request[INBOUND].received)
        if link is None:
            return self._over(request)
        return self._reset_page(request, token, demanded=link.purpose is LinkPurpose.CHANGE_PASSWORD)

    async def reset(self, request: web.Request) -> web.Response:
        """POST ``reset``: the new password, every session ended, and on to the login."""
        fields = await self._frame.form(request)
        inbound, token = request[INBOUND], fields.get("token", "")
        caller = self._frame.identity.caller(inbound)
        try:
            await self._recovery.reset(token, fields.get("password", ""), caller, inbound.received)
        except Problem as refusal:
            if refusal.reason is Reason.TOKEN_INVALID:
                return self._over(request)
            faults = service_faults(refusal, self._frame.theme.language_of(request))
            return self._reset_page(request, token, refusal, faults)
        except StoreUnavailable as fault:
            return self._reset_page(request, token, outage(fault))
        return see_other(f"{self._frame.address('login')}?done=reset")

    def _forgot_page(
        self,
        request: web.Request,
        target: str,
        email: str = "",
        fault: Problem | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> web.Response:
        context = {
            "here": with_next(self._frame.address("forgot"), target),
            "email": email[:LONGEST_EMAIL],
            "faults": faults or {},
            "login": with_next(self._frame.address("login"), target),
            "next": None if target == HOME else target,
        }
        if faults:
            context["message"] = None
        return self._frame.page(request, "forgot.html", context, fault=fault)

    def _reset_page(
        self,
        request: web.Request,
        token: str,
        fault: Problem | None = None,
        faults: Mapping[str, str] | None = None,
        *,
        demanded: bool = False,
    ) -> web.Response:
        context = {
            "here": None,
            "token": token,
            "demanded": demanded,
            "faults": faults or {},
            "min_length": self._rules.min_length,
        }
        if faults:
            context["message"] = None
        return self._frame.page(request, "reset.html", context, fault=fault)

    def _over(self, request: web.Request) -> web.Response:
        fault, forgot = Problem(400, Reason.TOKEN_INVALID), self._frame.address("forgot")
        return self._frame.over(
            request, fault, later("This link is not good any more"), None, forgot, later("Send a new link")
        )
