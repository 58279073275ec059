"""Who is looking at a page, and getting there again after a login. Used by every page that knows its reader."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated, Authenticator
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.forms import see_other
from gatekeeper.tokens.cookies import Cookies
from policies.model import Reason


class ToLogin(Exception):
    """Raised where a page needs somebody who is signed in (and has the factors); ``answer`` leads there."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__("to login")
        self.answer = answer


class Visits:
    """Reads the session behind a request and keeps its cookie fresh."""

    def __init__(self, authenticator: Authenticator, cookies: Cookies, *, prefix: str) -> None:
        self._authenticator = authenticator
        self._cookies = cookies
        self._prefix = prefix

    async def who(self, inbound: InboundRequest, *, from_anywhere: bool = False) -> Authenticated | None:
        """Whoever is signed in, or None; ``from_anywhere`` as in ``Authenticator``. Raises StoreUnavailable."""
        found = await self._found(inbound, from_anywhere=from_anywhere)
        return None if isinstance(found, Reason) else found

    async def _found(self, inbound: InboundRequest, *, from_anywhere: bool) -> Authenticated | Reason:
        if self._authenticator.present(inbound).none:
            return Reason.CREDENTIALS_MISSING
        return await self._authenticator.authenticate(inbound, from_anywhere=from_anywhere)

    async def signed_in(
        self, request: web.Request, *, back: str | None = None, enrolling: bool = False, from_anywhere: bool = False
    ) -> Authenticated:
        """Whoever is signed in. Raises ToLogin, which leads back to ``back`` or to the page asked for; where the
        session is bound to somewhere else, over the step-up page.

        ``enrolling``: also one who must add a second factor before anything else, who else is led to do so.
        """
        inbound = request[INBOUND]
        who = await self._found(inbound, from_anywhere=from_anywhere)
        if isinstance(who, Reason):
            target, page = back or inbound.target.origin_form, "login"
            if who is Reason.BINDING_MISMATCH and self._authenticator.confirms:
                page = "step-up"
            raise ToLogin(see_other(f"{self._prefix}/{page}?next={quote(target, safe='')}"))
        if who.principal.must_enrol and not enrolling:
            raise ToLogin(see_other(f"{self._prefix}/account/factors"))
        return who

    def renewed(self, answer: web.Response, who: Authenticated | None, now: float) -> web.Response:
        """``answer`` with the access cookie that was minted in passing, if there was one."""
        if who is not None and who.renewed is not None:
            answer.headers.add("Set-Cookie", self._cookies.set_access(who.renewed, now))
            private(answer)
        return answer

    def forgotten(self, answer: web.Response) -> web.Response:
        """``answer`` that takes the gate's cookies out of the browser."""
        for value in self._cookies.clear():
            answer.headers.add("Set-Cookie", value)
        return private(answer)


def private(answer: web.Response) -> web.Response:
    """Marked as what an answer with a gate cookie is (contract, edges)."""
    answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})
    return answer
