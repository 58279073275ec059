"""Mailed codes: a login without a password, and the code that proves an e-mail. Routed by ``views``.

``sign_in``, ``register`` and ``account`` show the code page after what they asked for. The challenge stands in the
form only: an address ends in histories and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.factors.otp import Asked, OneTimeCodes
from gatekeeper.identity.otp_login import OtpLogin
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.second_factor import SecondFactorPages
from gatekeeper.pages.theme import outage
from gatekeeper.pages.typed import LONGEST_EMAIL, code_of, email_faults, email_of
from policies.model import Reason


@dataclass(frozen=True, slots=True)
class _Said:
    """What the code page says for one purpose, and where its reader begins anew."""

    title: str
    sent: str
    button: str
    back: str
    begin_anew: str


_SAID: Final[Mapping[Purpose, _Said]] = {
    Purpose.LOGIN: _Said(
        later("Enter your code"),
        later("If there is an account for %(email)s, a code is on its way there."),
        later("Sign in"),
        "otp",
        later("Use another e-mail"),
    ),
    Purpose.VERIFY_EMAIL: _Said(
        later("Confirm your e-mail"),
        later("We have sent a mail to %(email)s. Enter the code that is in it."),
        later("Confirm"),
        "login",
        later("Back to sign in"),
    ),
    Purpose.CHANGE_EMAIL: _Said(
        later("Confirm your new e-mail"),
        later("We have sent a mail to %(email)s. Enter the code that is in it."),
        later("Confirm"),
        "account",
        later("Back to your account"),
    ),
}
_OVER: Final[Mapping[str, tuple[str, str, str]]] = {
    Purpose.VERIFY_EMAIL: ("login", later("Sign in"), later("Sign in with your password to be sent a new one.")),
    Purpose.CHANGE_EMAIL: ("account", later("Back to your account"), later("Begin anew from your account.")),
}
_BEGIN_ANEW: Final = ("otp", later("Send a new code"), later("Have a new one sent."))
#: What leaves the code page standing; anything else is a page of its own.
_TRY_AGAIN: Final = frozenset({Reason.OTP_INVALID, Reason.RATE_LIMITED, Reason.BUSY})


class CodePages:
    """The handlers of ``P/otp``. ``printed``: codes go to the gate's own console, and the page says so."""

    def __init__(
        self,
        frame: Frame,
        codes: OneTimeCodes,
        otp_login: OtpLogin,
        proofs: EmailProofs,
        challenges: Challenges,
        second: SecondFactorPages,
        *,
        printed: bool,
    ) -> None:
        self._frame = frame
        self._codes = codes
        self._otp_login = otp_login
        self._proofs = proofs
        self._challenges = challenges
        self._second = second
        self._printed = printed

    async def form(self, request: web.Request) -> web.Response:
        """GET ``otp``: where should the code go? With a live session on to ``next``."""
        inbound, target = request[INBOUND], self._frame.target(request.query.get("next"))
        who = await self._frame.visits.who(inbound)
        if who is None:
            return self._start_page(request, target)
        return self._frame.visits.renewed(see_other(target), who, inbound.received)

    async def act(self, request: web.Request) -> web.Response:
        """POST ``otp``: with ``email`` a code is sent; with ``challenge`` its ``code`` is judged, or sent ``again``."""
        fields = await self._frame.form(request)
        target = self._frame.target(fields.get("next"))
        if "challenge" not in fields:
            return await self._begin(request, email_of(fields), target)
        found = await self._challenges.find(fields["challenge"])
        if found is None or found.purpose not in _SAID or request[INBOUND].received >= found.expires_at:
            return self._over(request, fields.get("purpose", ""), target)
        if "again" in fields:
            return await self._send_again(request, found, target)
        return await self._judge(request, found, code_of(fields), target)

    async def verify(self, request: web.Request, email: str, target: str) -> web.Response:
        """Have link and code sent to an e-mail that has yet to be verified. Raises Problem (429), StoreUnavailable."""
        inbound = request[INBOUND]
        asked = await self._proofs.ask(email, self._frame.identity.caller(inbound), inbound.received)
        return self.ask(request, asked, Purpose.VERIFY_EMAIL, email, target)

    def ask(
        self,
        request: web.Request,
        asked: Asked,
        purpose: Purpose,
        email: str,
        target: str,
        fault: Problem | None = None,
        *,
        repeated: bool = False,
    ) -> web.Response:
        """The code page. ``repeated``: sending again was asked for, and ``asked`` is what came of it."""
        said, say = _SAID[purpose], self._frame.theme.language_of(request).say
        context = {
            "here": None,
            "title": say(said.title),
            "sent": say(said.sent, email=email),
            "button": say(said.button),
            "back": with_next(self._frame.address(said.back), target if said.back != "account" else HOME),
            "begin_anew": say(said.begin_anew),
            "challenge": asked.challenge,
            "purpose": str(purpose),
            "asked": asked,
            "repeated": repeated,
            "printed": self._printed,
            "next": None if target == HOME else target,
        }
        return self._frame.page(request, "code.html", context, fault=fault, target=target)

    async def _begin(self, request: web.Request, email: str, target: str) -> web.Response:
        faults = email_faults(email, self._frame.theme.language_of(request))
        if faults:
            return self._start_page(request, target, email, Problem(422, Reason.VALIDATION), faults)
        inbound = request[INBOUND]
        try:
            asked = await self._codes.request_login(email, self._frame.identity.caller(inbound), inbound.received)
        except Problem as refusal:
            return self._start_page(request, target, email, refusal)
        except StoreUnavailable as fault:
            return self._start_page(request, target, email, outage(fault))
        return self.ask(request, asked, Purpose.LOGIN, email, target)

    async def _send_again(self, request: web.Request, found: Challenge, target: str) -> web.Response:
        inbound, email = request[INBOUND], self._codes.email_of(found)
        try:
            asked = await self._codes.resend(found.id, self._frame.identity.caller(inbound), inbound.received)
        except Problem as refusal:
            if refusal.reason not in _TRY_AGAIN:
                return self._over(request, found.purpose, target)
            return self.ask(request, _still(found, inbound.received), found.purpose, email, target, refusal)
        return self.ask(request, asked, found.purpose, email, target, repeated=True)

    async def _judge(self, request: web.Request, found: Challenge, code: str, target: str) -> web.Response:
        inbound = request[INBOUND]
        try:
            return await self._accepted(request, found, code, target)
        except Problem as refusal:
            if refusal.reason is Reason.MFA_REQUIRED:
                return self._second.ask(request, refusal, target)
            if refusal.reason not in _TRY_AGAIN:
                raise
            if refusal.reason is Reason.OTP_INVALID and found.tries <= 1:
                return self._over(request, found.purpose, target, later("Too many wrong codes"))
            fault = refusal
        except StoreUnavailable as away:
            fault = outage(away)
        asked = _still(found, inbound.received)
        return self.ask(request, asked, found.purpose, self._codes.email_of(found), target, fault)

    async def _accepted(self, request: web.Request, found: Challenge, code: str, target: str) -> web.Response:
        """Raises what the services raise."""
        inbound = request[INBOUND]
        caller, now = self._frame.identity.caller(inbound), inbound.received
        who = await self._frame.visits.who(inbound)
        mine = who is not None and who.principal.subject == found.user
        if found.purpose is Purpose.CHANGE_EMAIL or (found.purpose is Purpose.VERIFY_EMAIL and mine):
            await self._proofs.confirm_code(found.id, code, caller, now)
            onward = target if target != HOME else f"{self._frame.address('account')}?done=email"
            return self._frame.visits.renewed(see_other(onward), who, now)
        pair = await self._otp_login.verify(found.id, code, caller, now)
        return self._frame.admitted(request, pair, target)

    def _start_page(
        self,
        request: web.Request,
        target: str,
        email: str = "",
        fault: Problem | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> web.Response:
        context = {
            "here": with_next(self._frame.address("otp"), target),
            "email": email[:LONGEST_EMAIL],
            "faults": faults or {},
            "login": with_next(self._frame.address("login"), target),
            "next": None if target == HOME else target,
        }
        if faults:
            context["message"] = None
        return self._frame.page(request, "otp.html", context, fault=fault, target=target)

    def _over(self, request: web.Request, purpose: str, target: str, title: str | None = None) -> web.Response:
        path, label, advice = _OVER.get(purpose, _BEGIN_ANEW)
        leads_to = with_next(self._frame.address(path), target if path != "account" else HOME)
        heading = title or later("That code is too old")
        return self._frame.over(request, Problem(401, Reason.OTP_EXPIRED), heading, advice, leads_to, label)


def _still(found: Challenge, now: float) -> Asked:
    """A challenge that is open as before; when it may be sent again is found out by asking."""
    return Asked(found.id, int(found.expires_at - now), 0, fresh=False)
