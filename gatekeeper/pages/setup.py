"""The page behind the first admin's link: a form that works once. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Conflict, Problem, StoreUnavailable
from gatekeeper.identity.bodies import RegisterBody
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.second_step import FirstStep, SecondStep
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.pages.forms import read_form, see_other
from gatekeeper.pages.language import later
from gatekeeper.pages.theme import Theme, stamped
from gatekeeper.pages.typed import new_account
from policies.model import Reason

_TAKEN = later(
    "There is an account with this e-mail already. Use another, or make that one an admin with “gatekeeper user role”."
)


class SetupPage:
    """The handlers of ``P/setup/<token>``; ``form_limit`` in bytes."""

    def __init__(
        self,
        *,
        theme: Theme,
        identity: Identity,
        second: SecondStep,
        passwords: Passwords,
        setup: FirstAdmin,
        form_limit: int,
    ) -> None:
        self._theme = theme
        self._identity = identity
        self._second = second
        self._passwords = passwords
        self._setup = setup
        self._form_limit = form_limit

    async def form(self, request: web.Request) -> web.Response:
        """GET: the form; the link stays good. Raises Problem (404) for a link that is not."""
        if not await self._setup.good(request.match_info["token"], request[INBOUND].received):
            raise _not_good()
        return self._page(request, {}, {})

    async def make_admin(self, request: web.Request) -> web.Response:
        """POST: the admin, signed in; or the form again with every field's fault."""
        fields = await read_form(request, self._form_limit)
        inbound, token = request[INBOUND], request.match_info["token"]
        if not await self._setup.good(token, inbound.received):
            raise _not_good()
        language = self._theme.language_of(request)
        password_fault = await self._passwords.fault(fields.get("password", ""))
        wanted = new_account(fields, language, password_fault)
        if not isinstance(wanted, RegisterBody):
            return self._page(request, fields, wanted, Problem(422, Reason.VALIDATION))
        hashed = await self._passwords.hash(wanted.password)
        try:
            admin = await self._setup.consume(
                token,
                wanted.email,
                hashed,
                wanted.name,
                inbound.received,
                address=inbound.client,
                request_id=inbound.request_id,
            )
        except Conflict:
            return self._page(request, fields, {"email": language.say(_TAKEN)}, Problem(409, Reason.EMAIL_TAKEN))
        if admin is None:
            raise _not_good()
        first = FirstStep(admin, admin.email, None, ("pwd",))
        try:
            pair = await self._second.admit(first, self._identity.caller(inbound), inbound.received)
        except StoreUnavailable:  # the account is made, so it can sign in once sessions work again
            return see_other(f"{self._theme.prefix}/login")
        answer = see_other(f"{self._theme.prefix}/admin/")
        self._identity.set_cookies(answer, pair, inbound.received)
        self._identity.remember_browser(answer, inbound, admin.id)
        return answer

    def _page(
        self, request: web.Request, typed: Mapping[str, str], faults: Mapping[str, str], fault: Problem | None = None
    ) -> web.Response:
        context = {
            "here": None,
            "email": typed.get("email", ""),
            "name": typed.get("name", ""),
            "faults": faults,
            "min_length": self._passwords.rules.min_length,
        }
        page = self._theme.page(request, "setup.html", context, status=fault.status if fault else 200)
        return stamped(page, fault) if fault else page


def _not_good() -> Problem:
    return Problem(
        404,
        Reason.NOT_FOUND,
        later(
            "This setup link has been used, has expired, or never was. Each start of the gate prints a new one while"
            " there is no admin."
        ),
    )
