"""New accounts: the form that is open to all, or to whoever was invited. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.bodies import RegisterBody
from gatekeeper.identity.challenges import Purpose
from gatekeeper.identity.factors.otp import Asked
from gatekeeper.identity.passwords import PasswordRules
from gatekeeper.identity.registration import Registration
from gatekeeper.identity.second_step import FirstStep, SecondStep
from gatekeeper.pages.codes import CodePages
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import outage
from gatekeeper.pages.typed import email_of, new_account, service_faults
from gatekeeper.tokens.sessions import UserState
from policies.model import Reason

_OVER = "This invitation has been used, has expired, or never was."


class RegisterPages:
    """The handlers of ``P/register``."""

    def __init__(
        self, frame: Frame, registration: Registration, rules: PasswordRules, second: SecondStep, codes: CodePages
    ) -> None:
        self._frame = frame
        self._registration = registration
        self._rules = rules
        self._second = second
        self._codes = codes

    async def form(self, request: web.Request) -> web.Response:
        """GET ``register``: the form; with ``invite`` that of an invitation. With a live session on to ``next``."""
        inbound, invite = request[INBOUND], request.query.get("invite", "")
        target = self._frame.target(request.query.get("next"))
        try:
            invited = await self._invited(invite, inbound.received)
        except Problem as refusal:
            return self._closed(request, refusal, target)
        who = await self._frame.visits.who(inbound)
        if who is not None and invited is None:
            return self._frame.visits.renewed(see_other(target), who, inbound.received)
        return self._page(request, {"email": invited or ""}, target, invite=invite, invited=invited)

    async def register(self, request: web.Request) -> web.Response:
        """POST ``register``: signed in and on to ``next``, or the code page where e-mails are verified first."""
        fields = await self._frame.form(request)
        inbound, invite = request[INBOUND], fields.get("invite", "")
        target = self._frame.target(fields.get("next"))
        try:
            invited = await self._invited(invite, inbound.received)
        except Problem as refusal:
            return self._closed(request, refusal, target)
        language = self._frame.theme.language_of(request)
        wanted = new_account(fields, language, self._rules.fault(fields.get("password", "")))
        if not isinstance(wanted, RegisterBody):
            fault = Problem(422, Reason.VALIDATION)
            return self._page(request, fields, target, fault, wanted, invite=invite, invited=invited)
        try:
            made = await self._register(request, wanted, invite)
        except Problem as refusal:
            if refusal.reason is Reason.REGISTRATION_CLOSED:
                return self._closed(request, refusal, target)
            faults = service_faults(refusal, language)
            if refusal.reason is Reason.EMAIL_TAKEN:
                faults["email"] = language.say(later("There is an account with this e-mail already."))
            return self._page(request, fields, target, refusal, faults, invite=invite, invited=invited)
        except StoreUnavailable as fault:
            return self._page(request, fields, target, outage(fault), invite=invite, invited=invited)
        if isinstance(made, Asked):
            return self._codes.ask(request, made, Purpose.VERIFY_EMAIL, email_of(fields), target)
        return await self._let_in(request, made, target)

    async def _invited(self, invite: str, now: float) -> str | None:
        """The e-mail that was invited; None without an invitation. Raises Problem (403), StoreUnavailable."""
        self._registration.refuse_unless_open(invited=bool(invite))
        if not invite:
            return None
        link = await self._registration.invitations.find(invite, now)
        if link is None or link.email is None:
            raise Problem(403, Reason.REGISTRATION_CLOSED, _OVER)
        return link.email

    async def _register(self, request: web.Request, wanted: RegisterBody, invite: str) -> UserState | Asked:
        inbound = request[INBOUND]
        caller = self._frame.identity.caller(inbound)
        return await self._registration.register(
            wanted.email, wanted.password, wanted.name, caller, inbound.received, invitation=invite or None
        )

    async def _let_in(self, request: web.Request, user: UserState, target: str) -> web.Response:
        inbound = request[INBOUND]
        first = FirstStep(user, user.email, None, ("pwd",))
        try:
            pair = await self._second.admit(first, self._frame.identity.caller(inbound), inbound.received)
        except StoreUnavailable:  # the account is made, so it can sign in once sessions work again
            return see_other(with_next(self._frame.address("login"), target))
        return self._frame.admitted(request, pair, target)

    def _closed(self, request: web.Request, refusal: Problem, target: str) -> web.Response:
        login = with_next(self._frame.address("login"), target)
        title = later("You cannot make an account here")
        return self._frame.over(request, refusal, title, None, login, later("Sign in"))

    def _page(
        self,
        request: web.Request,
        typed: Mapping[str, str],
        target: str,
        fault: Problem | None = None,
        faults: Mapping[str, str] | None = None,
        *,
        invite: str,
        invited: str | None,
    ) -> web.Response:
        context = {
            "here": None if invite else with_next(self._frame.address("register"), target),
            "email": invited or typed.get("email", ""),
            "invite": invite if invited else None,
            "name": typed.get("name", ""),
            "faults": faults or {},
            "login": with_next(self._frame.address("login"), target),
            "min_length": self._rules.min_length,
            "next": None if target == HOME else target,
        }
        if faults:
            context["message"] = None
        return self._frame.page(request, "register.html", context, fault=fault, target=target)
