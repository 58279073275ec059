"""The second step of a login, and the login by a passkey alone. Shown by ``sign_in``, routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.identity.factors.checks import CodeShown, FactorShown, PasskeyShown
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame, passkey_answer
from gatekeeper.pages.language import later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import outage
from gatekeeper.pages.visit import private
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Reason

if TYPE_CHECKING:  # it comes with an extra
    from gatekeeper.identity.passkey_login import PasskeyLogin

_LONGEST_CODE: Final = 64  # characters
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
        passkey_login: PasskeyLogin | None,
        cookies: Cookies,
        *,
        remember: float | None,
    ) -> None:
        self._frame = frame
        self._second = second
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
        return self._page(
            request, str(needed.extra.get("challenge", "")), methods if isinstance(methods, list) else [], target
        )

    async def back(self, _request: web.Request) -> web.Response:
        """GET: nothing is kept in the address, so a login begins anew."""
        return see_other(self._frame.address("login"))

    async def finish(self, request: web.Request) -> web.Response:
        """POST ``second-factor``: the session, or the page again."""
        fields = await self._frame.form(request)
        inbound, target = request[INBOUND], self._frame.target(fields.get("next"))
        challenge = fields.get("challenge", "")
        pending = await self._second.pending(challenge, inbound.received)
        if pending is None:
            raise Problem(401, Reason.MFA_INVALID, _TOO_LATE)
        caller = self._frame.identity.caller(inbound)
        try:
            pair = await self._second.finish(challenge, _shown(fields), caller, inbound.received)
        except Problem as refusal:
            if await self._second.pending(challenge, inbound.received) is None:
                raise
            return self._page(request, challenge, pending.methods, target, refusal, method=fields.get("method", ""))
        except StoreUnavailable as fault:
            return self._page(request, challenge, pending.methods, target, outage(fault))
        answer = self._frame.admitted(request, pair, target)
        if "remember" in fields:
            await self._remember(request, answer, pair)
        return answer

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
        challenge: str,
        methods: Sequence[str],
        target: str,
        fault: Problem | None = None,
        *,
        method: str = "",
    ) -> web.Response:
        context = {
            "here": with_next(self._frame.address("login"), target),
            "challenge": challenge,
            "methods": list(methods),
            "next": None if target == HOME else target,
            "remember_days": self._days,
            "tried": method,
        }
        return self._frame.page(request, "second_factor.html", context, fault=fault, target=target)


def _shown(fields: Mapping[str, str]) -> FactorShown:
    """Raises Problem (422)."""
    match fields.get("method"):
        case "passkey":
            return PasskeyShown(passkey_answer(fields))
        case "totp" | "recovery-code" as method:
            return CodeShown(Method(method), fields.get("code", "").strip()[:_LONGEST_CODE])
        case _:
            raise Problem(422, Reason.VALIDATION)
