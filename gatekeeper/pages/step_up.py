"""Proving anew to be there (RFC 9470): from a page that asked for it, and back. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.errors import Problem
from gatekeeper.identity.factors.checks import CodeShown, PasskeyShown
from gatekeeper.identity.factors.otp import Asked, OneTimeCodes
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.step_up import FRESH, PASSWORD, StepUps
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame, passkey_answer
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.typed import code_of
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Principal, Reason

_LONGEST_CHALLENGE: Final = 200  # characters, as in the API
_LONGEST_WHAT: Final = 200  # characters of an interrupted request that are shown


class StepUpPages:
    """The handlers of ``P/step-up``."""

    def __init__(self, frame: Frame, step_ups: StepUps, codes: OneTimeCodes) -> None:
        self._frame = frame
        self._step_ups = step_ups
        self._codes = codes

    async def form(self, request: web.Request) -> web.Response:
        """GET ``step-up``: what may be shown; whoever has to add a factor first is led there."""
        inbound, query = request[INBOUND], request.query
        who = await self._frame.visits.signed_in(request, enrolling=True, from_anywhere=True)
        target, wanted = self._frame.target(query.get("next")), _wanted(query)
        fresh = inbound.received - who.principal.auth_time <= FRESH
        # Adding a factor may have sent them here for a fresh login; then back to it would be round in a circle.
        if who.principal.must_enrol and (fresh or wanted["acr_values"]):
            return see_other(with_next(self._frame.address("account/factors"), target))
        page = await self._page(request, who, target, wanted)
        return self._frame.visits.renewed(page, who, inbound.received)

    async def confirm(self, request: web.Request) -> web.Response:
        """POST ``step-up``: a fresh access token, and back; or, after an interrupted form, a page that leads to it.

        With ``send`` a code is mailed, and the page takes it.
        """
        fields = await self._frame.form(request)
        target, wanted = self._frame.target(fields.get("next")), _wanted(fields)
        back = with_next(self._frame.address("step-up"), target)
        who = await self._frame.visits.signed_in(request, back=back, enrolling=True, from_anywhere=True)
        try:
            if "send" in fields:
                asked = await self._send(request, who.principal)
                return await self._page(
                    request, who, target, wanted, method="otp", asked=asked, repeated=fields["send"] == "again"
                )
            pair = await self._confirmed(who.principal, fields, request[INBOUND])
        except Problem as refusal:
            if refusal.reason is Reason.SESSION_ENDED or refusal.status not in {401, 422, 429}:
                raise
            challenge = fields.get("challenge", "")[:_LONGEST_CHALLENGE]
            wanted["challenge"] = challenge if fields.get("method") == "otp" else ""
            return await self._page(request, who, target, wanted, refusal, method=fields.get("method", ""))
        if not wanted["interrupted"]:
            return self._frame.entered(request, pair, target)
        page = self._frame.page(request, "step_up_done.html", {"next": target, "here": None, **wanted})
        self._frame.identity.set_cookies(page, pair, request[INBOUND].received)
        return page

    async def _send(self, request: web.Request, who: Principal) -> Asked:
        inbound = request[INBOUND]
        if "otp" not in await self._step_ups.methods(who, inbound.received, two_factors=True):
            raise Problem(422, Reason.VALIDATION)
        caller = self._frame.identity.caller(inbound)
        return await self._codes.request_step_up(who.subject, who.session, caller, inbound.received)

    async def _confirmed(self, who: Principal, fields: Mapping[str, str], inbound: InboundRequest) -> TokenPair:
        code, caller, now = code_of(fields), self._frame.identity.caller(inbound), inbound.received
        match fields.get("method"):
            case "password":
                return await self._step_ups.by_password(who, fields.get("password", ""), caller, now)
            case "passkey":
                shown = PasskeyShown(passkey_answer(fields))
                return await self._step_ups.by_factor(who, shown, caller, now, challenge=fields.get("challenge", ""))
            case "otp":
                mailed = CodeShown(Method.OTP, code)
                return await self._step_ups.by_factor(who, mailed, caller, now, challenge=fields.get("challenge", ""))
            case "totp" | "recovery-code" as method:
                return await self._step_ups.by_factor(who, CodeShown(Method(method), code), caller, now)
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
        asked: Asked | None = None,
        repeated: bool = False,
    ) -> web.Response:
        two_factors = wanted["acr_values"] == "2fa"
        methods = await self._step_ups.methods(who.principal, request[INBOUND].received, two_factors=two_factors)
        challenge = asked.challenge if asked else wanted["challenge"]
        usual = next((one for one in methods if one in {PASSWORD, "totp"}), "")
        context = {
            "here": with_next(self._frame.address("step-up"), target),
            "email": who.principal.email,
            "methods": methods,
            "first": "otp" if challenge else usual,
            "next": None if target == HOME else target,
            "tried": method,
            "asked": asked,
            "repeated": repeated,
            **wanted,
            "challenge": challenge,
        }
        return self._frame.page(request, "step_up.html", context, fault=fault, target=target)


def _wanted(given: Mapping[str, str]) -> dict[str, str]:
    """What was asked for, as shown and handed on; never acted on. A challenge is one that a code was mailed for."""
    strength = "2fa" if given.get("acr_values") == "2fa" else ""
    return {"interrupted": given.get("interrupted", "")[:_LONGEST_WHAT], "acr_values": strength, "challenge": ""}
