"""The page behind the link that proves an e-mail, of a new account or a changed one. Routed by ``views``."""

from __future__ import annotations

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.pages import words
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import later
from policies.model import Reason


class ConfirmEmailPage:
    """The handlers of ``P/confirm-email``."""

    def __init__(self, frame: Frame, proofs: EmailProofs) -> None:
        self._frame = frame
        self._proofs = proofs

    async def form(self, request: web.Request) -> web.Response:
        """GET: asks, since mail programs open links by themselves; 400 where the link is not good."""
        return await self._page(request, request.query.get("token", ""))

    async def confirm(self, request: web.Request) -> web.Response:
        """POST: the e-mail is proved. On to the account, or to the login where nobody is signed in; to a new password
        where nobody showed the one that the account was made with.
        """
        fields = await self._frame.form(request)
        inbound = request[INBOUND]
        caller, now = self._frame.identity.caller(inbound), inbound.received
        token = fields.get("token", "")
        try:
            done = await self._proofs.confirm_link(token, caller, now, password=fields.get("password") or None)
        except Problem as refusal:
            if refusal.status in {401, 429}:
                return await self._page(request, token, refusal)
            if refusal.reason is not Reason.TOKEN_INVALID:
                raise
            return self._over(request)
        user = done.user
        if done.dropped:
            return see_other(await self._proofs.password_link(user, now))
        who = await self._frame.visits.who(inbound)
        signed_in = who is not None and who.principal.subject == user.id
        onward = self._frame.address("account" if signed_in else "login")
        return self._frame.visits.renewed(see_other(f"{onward}?done=email"), who, now)

    async def _page(self, request: web.Request, token: str, fault: Problem | None = None) -> web.Response:
        link = await self._proofs.find(token, request[INBOUND].received)
        if link is None or link.email is None:
            return self._over(request)
        language, faults = self._frame.theme.language_of(request), {}
        if fault is not None:
            faults["password"] = words.sentence(fault, language)
        asks = await self._proofs.asks_password(link)
        context = {"here": None, "email": link.email, "token": token, "asks_password": asks, "faults": faults}
        if faults:
            context["message"] = None
        return self._frame.page(request, "confirm_email.html", context, fault=fault)

    def _over(self, request: web.Request) -> web.Response:
        fault, title = Problem(400, Reason.TOKEN_INVALID), later("This link is not good any more")
        advice = later("If your e-mail is not confirmed yet, sign in: you are sent a new one.")
        return self._frame.over(request, fault, title, advice, self._frame.address("login"), later("Sign in"))
