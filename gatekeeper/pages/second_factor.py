"""The second step of a login, and the login by a passkey alone. Shown by ``sign_in``, routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.challenges import Challenge
from gatekeeper.identity.factors.checks import CodeShown, FactorShown, PasskeyShown
from gatekeeper.identity.factors.otp import Asked, OneTimeCodes
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame, passkey_answer
from gatekeeper.pages.language import later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import outage
from gatekeeper.pages.typed import code_of
from gatekeeper.pages.visit import private
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Reason

if TYPE_CHECKING:  # it comes with an extra
    from gatekeeper.identity.passkey_login import PasskeyLogin

_A_DAY: Final = 86_400
_TOO_LATE: Final = later("This took too long, or too many tries. Sign in again.")


class SecondFactorPages:
    """The handlers of ``P/second-factor`` and ``P/passkey``.

    ``remember`` is how long a device may be remembered (seconds), None where none is.
    """

    def __init__(
        self,
        frame: Frame,
        second: SecondStep,
        codes: OneTimeCodes,
        passkey_login: PasskeyLogin | None,
        cookies: Cookies,
        *,
        remember: float | None,
    ) -> None:
        self._frame = frame
        self._second = second
        self._codes = codes
        self._passkey_login = passkey_login
        self._cookies = cookies
        self._days = max(1, int(remember // _A_DAY)) if remember else None

    @property
    def by_passkey(self) -> bool:
        """Whether one may sign in by a passkey alone."""
        return self._passkey_login is not None

    def ask(self, request: web.Request, needed: Problem, target: str) -> web.Response:
        """The page after a right password: ``needed`` is the 401 mfa-required of the login."""
        methods = needed.extra.get("methods")
        waiting = _Waiting(str(needed.extra.get("challenge", "")), tuple(methods) if isinstance(methods, list) else ())
        return self._page(request, waiting, target)

    async def back(self, _request: web.Request) -> web.Response:
        """GET: nothing is kept in the address, so a login begins anew."""
        return see_other(self._frame.address("login"))

    async def finish(self, request: web.Request) -> web.Response:
        """POST ``second-factor``: the session, or the page again; with ``send`` a code is mailed first."""
        fields = await self._frame.form(request)
        inbound, target = request[INBOUND], self._frame.target(fields.get("next"))
        challenge = fields.get("challenge", "")
        pending = await self._second.pending(challenge, inbound.received)
        if pending is None:
            raise Problem(401, Reason.MFA_INVALID, _TOO_LATE)
        waiting = _Waiting(challenge, pending.methods, fields.get("method", ""))
        try:
            if "send" in fields:
                return await self._send(request, pending, target, repeated=fields["send"] == "again")
            pair = await self._finished(request, challenge, fields)
        except Problem as refusal:
            if refusal.reason is Reason.PASSWORD_CHANGE_REQUIRED:
                return self._frame.to_new_password(refusal)
            if await self._second.pending(challenge, inbound.received) is None:
                raise
            return self._page(request, waiting, target, refusal)
        except StoreUnavailable as fault:
            return self._page(request, waiting, target, outage(fault))
        answer = self._frame.admitted(request, pair, target)
        if "remember" in fields:
            await self._remember(request, answer, pair)
        return answer

    async def _finished(self, request: web.Request, challenge: str, fields: Mapping[str, str]) -> TokenPair:
        inbound = request[INBOUND]
        return await self._second.finish(
            challenge, _shown(fields), self._frame.identity.caller(inbound), inbound.received
        )

    async def _send(self, request: web.Request, pending: Challenge, target: str, *, repeated: bool) -> web.Response:
        """A code for the login that waits, by mail; where one was sent a moment ago the page says so."""
        inbound = request[INBOUND]
        asked = await self._codes.resend(pending.id, self._frame.identity.caller(inbound), inbound.received)
        return self._page(
            request, _Waiting(pending.id, pending.methods, Method.OTP), target, asked=asked, repeated=repeated
        )

    async def by_passkey_alone(self, request: web.Request) -> web.Response:
        """POST ``passkey``: a login without a password."""
        fields = await self._frame.form(request)
        if self._passkey_login is None:
            raise Problem(404, Reason.NOT_FOUND)
        inbound, caller = request[INBOUND], self._frame.identity.caller(request[INBOUND])
        pair = await self._passkey_login.log_in(
            fields.get("challenge", ""), passkey_answer(fields), caller, inbound.received
        )
        return self._frame.admitted(request, pair, self._frame.target(fields.get("next")))

    async def _remember(self, request: web.Request, answer: web.Response, pair: TokenPair) -> None:
        inbound = request[INBOUND]
        caller = self._frame.identity.caller(inbound)
        remembered = await self._second.remember(pair.user.id, caller, inbound.received)
        if remembered is not None:
            value, life = remembered
            answer.headers.add("Set-Cookie", self._cookies.set_device(value, life))
            private(answer)

    def _page(
        self,
        request: web.Request,
        waiting: _Waiting,
        target: str,
        fault: Problem | None = None,
        *,
        asked: Asked | None = None,
        repeated: bool = False,
    ) -> web.Response:
        context = {
            "here": with_next(self._frame.address("login"), target),
            "challenge": waiting.challenge,
            "methods": list(waiting.methods),
            "next": None if target == HOME else target,
            "remember_days": self._days,
            "tried": waiting.tried,
            "asked": asked,
            "repeated": repeated,
        }
        return self._frame.page(request, "second_factor.html", context, fault=fault, target=target)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A login that waits for its second step; ``tried`` is the method that was used last."""

    challenge: str
    methods: tuple[str, ...]
    tried: str = ""


def _shown(fields: Mapping[str, str]) -> FactorShown:
    """Raises Problem (422)."""
    match fields.get("method"):
        case "passkey":
            return PasskeyShown(passkey_answer(fields))
        case "totp" | "recovery-code" | "otp" as method:
            return CodeShown(Method(method), code_of(fields))
        case _:
            raise Problem(422, Reason.VALIDATION)
