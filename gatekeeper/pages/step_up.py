"""Proving anew to be there (RFC 9470): from a page that asked for it, and back. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.gate import Authenticated
from gatekeeper.identity.factors.checks import CodeShown, PasskeyShown
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.step_up import FRESH, PASSWORD, StepUps
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame, passkey_answer
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Principal, Reason

_LONGEST_CODE: Final = 64  # characters
_LONGEST_WHAT: Final = 200  # characters of an interrupted request that are shown


class StepUpPages:
    """The handlers of ``P/step-up``."""

    def __init__(self, frame: Frame, step_ups: StepUps) -> None:
        self._frame = frame
        self._step_ups = step_ups

    async def form(self, request: web.Request) -> web.Response:
        """GET ``step-up``: what may be shown; whoever has to add a factor first is led there."""
        inbound, query = request[INBOUND], request.query
        who = await self._frame.visits.signed_in(request, enrolling=True)
        target, wanted = self._frame.target(query.get("next")), _wanted(query)
        fresh = inbound.received - who.principal.auth_time <= FRESH
        # Adding a factor may have sent them here for a fresh login; then back to it would be round in a circle.
        if who.principal.must_enrol and (fresh or wanted["acr_values"]):
            return see_other(with_next(self._frame.address("account/factors"), target))
        page = await self._page(request, who, target, wanted)
        return self._frame.visits.renewed(page, who, inbound.received)

    async def confirm(self, request: web.Request) -> web.Response:
        """POST ``step-up``: a fresh access token, and back; or, after an interrupted form, a page that leads to it."""
        fields = await self._frame.form(request)
        target, wanted = self._frame.target(fields.get("next")), _wanted(fields)
        back = with_next(self._frame.address("step-up"), target)
        who = await self._frame.visits.signed_in(request, back=back, enrolling=True)
        try:
            pair = await self._confirmed(who.principal, fields, request[INBOUND].received)
        except Problem as refusal:
            if refusal.reason is Reason.SESSION_ENDED or refusal.status not in {401, 422, 429}:
                raise
            return await self._page(request, who, target, wanted, refusal, method=fields.get("method", ""))
        if not wanted["interrupted"]:
            return self._frame.entered(request, pair, target)
        page = self._frame.page(request, "step_up_done.html", {"next": target, "here": None, **wanted})
        self._frame.identity.set_cookies(page, pair, request[INBOUND].received)
        return page

    async def _confirmed(self, who: Principal, fields: Mapping[str, str], now: float) -> TokenPair:
        code = fields.get("code", "").strip()[:_LONGEST_CODE]
        match fields.get("method"):
            case "password":
                return await self._step_ups.by_password(who, fields.get("password", ""), now)
            case "passkey":
                shown = PasskeyShown(passkey_answer(fields))
                return await self._step_ups.by_factor(who, shown, now, challenge=fields.get("challenge", ""))
            case "otp":
                mailed = CodeShown(Method.OTP, code)
                return await self._step_ups.by_factor(who, mailed, now, challenge=fields.get("challenge", ""))
            case "totp" | "recovery-code" as method:
                return await self._step_ups.by_factor(who, CodeShown(Method(method), code), now)
            case _:
                raise Problem(422, Reason.VALIDATION)

    async def _page(
        self,
        request: web.Request,
        who: Authenticated,
        target: str,
        wanted: Mapping[str, str],
        fault: Problem | None = None,
        *,
        method: str = "",
    ) -> web.Response:
        two_factors = wanted["acr_values"] == "2fa"
        methods = await self._step_ups.methods(who.principal, request[INBOUND].received, two_factors=two_factors)
        context = {
            "here": with_next(self._frame.address("step-up"), target),
            "email": who.principal.email,
            "methods": methods,
            "first": next((one for one in methods if one in {PASSWORD, "totp"}), ""),
            "next": None if target == HOME else target,
            "tried": method,
            **wanted,
        }
        return self._frame.page(request, "step_up.html", context, fault=fault, target=target)


def _wanted(given: Mapping[str, str]) -> dict[str, str]:
    """What was asked for, as shown and handed on; never acted on."""
    strength = "2fa" if given.get("acr_values") == "2fa" else ""
    return {"interrupted": given.get("interrupted", "")[:_LONGEST_WHAT], "acr_values": strength}
