"""Login, logout and the choice of a language. Routed by ``views``; works without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.pages import words
from gatekeeper.pages.codes import CodePages
from gatekeeper.pages.forms import refuse_foreign, see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import COOKIE, later
from gatekeeper.pages.next import HOME, origin_of, safe_next, with_next
from gatekeeper.pages.second_factor import SecondFactorPages
from gatekeeper.pages.theme import outage, stamped
from gatekeeper.pages.typed import LONGEST_EMAIL, email_faults, email_of
from policies.model import Reason

_A_YEAR: Final = 31_536_000  # seconds
_DONE: Final[Mapping[str, str]] = {
    "reset": later("Your new password is set. Sign in with it."),
    "email": later("Your e-mail is confirmed. You can sign in now."),
}


class SignInPages:
    """The handlers of ``P/login``, ``P/logout`` and ``P/language``.

    ``registers``: anybody may make an account; ``secure`` where the pages come by https.
    """

    def __init__(
        self,
        frame: Frame,
        login: PasswordLogin,
        second: SecondFactorPages,
        codes: CodePages,
        *,
        registers: bool,
        secure: bool,
    ) -> None:
        self._frame = frame
        self._theme = frame.theme
        self._visits = frame.visits
        self._identity = frame.identity
        self._login = login
        self._second = second
        self._codes = codes
        self._registers = registers
        # Only the gate's own pages are told; the services behind it never see the choice.
        self._language_cookie = f"; Path={frame.theme.prefix}; Max-Age={_A_YEAR}; SameSite=Lax; HttpOnly"
        self._language_cookie += "; Secure" if secure else ""

    async def login_form(self, request: web.Request) -> web.Response:
        """GET ``login``: the form, or on to ``next`` with a live session."""
        inbound = request[INBOUND]
        target = self._frame.target(request.query.get("next"))
        who = await self._visits.who(inbound)
        if who is None:
            return self._login_page(request, target, done=_DONE.get(request.query.get("done", "")))
        return self._visits.renewed(see_other(target), who, inbound.received)

    async def log_in(self, request: web.Request) -> web.Response:
        """POST ``login``: both cookies and on to ``next``, or the form again with what went wrong."""
        fields = await self._frame.form(request)
        target = self._frame.target(fields.get("next"))
        email, password = email_of(fields), fields.get("password", "")
        language = self._theme.language_of(request)
        faults = email_faults(email, language)
        if not password:
            faults["password"] = language.say("Enter your password.")
        if faults:
            fault = Problem(422, Reason.VALIDATION)
            return self._login_page(request, target, email=email[:LONGEST_EMAIL], faults=faults, fault=fault)
        try:
            return await self._signed_in(request, email, password, target)
        except Problem as refusal:
            return self._login_page(request, target, email=email, fault=refusal)
        except StoreUnavailable as fault:
            return self._login_page(request, target, email=email, fault=outage(fault))

    async def _signed_in(self, request: web.Request, email: str, password: str, target: str) -> web.Response:
        """On to ``target``, or the page of the step that is still missing. Raises Problem, StoreUnavailable."""
        inbound = request[INBOUND]
        try:
            pair = await self._login.log_in(email, password, self._identity.caller(inbound), inbound.received)
        except Problem as refusal:
            if refusal.reason is Reason.MFA_REQUIRED:
                return self._second.ask(request, refusal, target)
            if refusal.reason is Reason.PASSWORD_CHANGE_REQUIRED:
                return self._frame.to_new_password(refusal)
            if refusal.reason is Reason.EMAIL_UNVERIFIED:
                return await self._codes.verify(request, email, target)
            raise
        return self._frame.admitted(request, pair, target)

    async def logout_form(self, request: web.Request) -> web.Response:
        """GET ``logout``: asks; it changes nothing."""
        who = await self._visits.who(request[INBOUND], from_anywhere=True)
        return self._theme.page(request, "logout.html", {"email": who.principal.email if who else None})

    async def log_out(self, request: web.Request) -> web.Response:
        """POST ``logout``: this session ends, and the browser forgets it."""
        refuse_foreign(request)
        inbound = request[INBOUND]
        who = await self._visits.who(inbound, from_anywhere=True)
        if who is not None:
            await self._identity.end_sessions(who, "this", inbound.received)
        return self._visits.forgotten(see_other(f"{self._theme.prefix}/login"))

    async def choose_language(self, request: web.Request) -> web.Response:
        """POST ``language``: kept in a cookie that holds nothing else; back to the page it was chosen on."""
        fields = await self._frame.form(request)
        chosen = self._theme.languages.find(fields.get("lang", ""))
        if chosen is None:
            raise Problem(422, Reason.VALIDATION, "There is no such language here.")
        answer = see_other(safe_next(fields.get("next"), frozenset()))
        answer.headers.add("Set-Cookie", f"{COOKIE}={chosen.tag}{self._language_cookie}")
        return answer

    def _login_page(
        self,
        request: web.Request,
        target: str,
        *,
        email: str = "",
        faults: Mapping[str, str] | None = None,
        fault: Problem | None = None,
        done: str | None = None,
    ) -> web.Response:
        language = self._theme.language_of(request)
        context = {
            "here": with_next(self._frame.address("login"), target),
            "by_code": with_next(self._frame.address("otp"), target),
            "by_passkey": self._second.by_passkey,
            "forgot": with_next(self._frame.address("forgot"), target),
            "register": with_next(self._frame.address("register"), target) if self._registers else None,
            "done": language.say(done) if done else None,
            "email": email,
            "next": None if target == HOME else target,
            "faults": faults or {},
            "message": words.sentence(fault, language) if fault and not faults else None,
        }
        status = fault.status if fault else 200
        page = self._theme.page(request, "login.html", context, status=status, form_leads_to=origin_of(target))
        return stamped(page, fault) if fault else page
