"""The page behind "this was not me" in a mail. Routed by ``views``."""

from __future__ import annotations

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.identity.disowning import Disowning
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import later
from policies.model import Reason


class NotMePage:
    """The handlers of ``P/not-me``."""

    def __init__(self, frame: Frame, disowning: Disowning) -> None:
        self._frame = frame
        self._disowning = disowning

    async def form(self, request: web.Request) -> web.Response:
        """GET: says what will happen, since mail programs open links by themselves; 400 where the link is not good."""
        token = request.query.get("token", "")
        link = await self._disowning.find(token, request[INBOUND].received)
        if link is None:
            return self._over(request)
        return self._frame.page(request, "not_me.html", {"here": None, "email": link.email, "token": token})

    async def act(self, request: web.Request) -> web.Response:
        """POST: every session ends, and on to a new password."""
        fields = await self._frame.form(request)
        inbound = request[INBOUND]
        caller, now = self._frame.identity.caller(inbound), inbound.received
        try:
            return see_other(await self._disowning.disown(fields.get("token", ""), caller, now))
        except Problem as refusal:
            if refusal.reason is not Reason.TOKEN_INVALID:
                raise
            return self._over(request)

    def _over(self, request: web.Request) -> web.Response:
        fault, title = Problem(400, Reason.TOKEN_INVALID), later("This link is not good any more")
        advice = later("If somebody else may know your password, set a new one; that ends every session.")
        return self._frame.over(
            request, fault, title, advice, self._frame.address("forgot"), later("Set a new password")
        )
