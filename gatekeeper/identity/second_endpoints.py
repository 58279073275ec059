"""The second step of a login, login by passkey, and step-up, under ``P/auth``. Parse, call one service, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.gate import same_origin
from gatekeeper.identity.bodies import invalid, read_body
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.factor_bodies import CodeBody, OptionsAnswer, PasskeyBody, PasskeyOptionsBody, StepUpBody
from gatekeeper.identity.factors.checks import CodeShown, FactorShown, PasskeyShown
from gatekeeper.identity.factors.records import Method
from gatekeeper.identity.passkey_login import PasskeyLogin
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.identity.step_up import StepUps
from gatekeeper.inbound import InboundRequest
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Principal, Reason

if TYPE_CHECKING:  # fido2 comes with an extra
    from gatekeeper.identity.factors.passkeys import Passkeys


_Part = TypeVar("_Part")


class SecondEndpoints:
    """The handlers; ``json_limit`` in bytes. Without ``passkeys`` there are none (the extra is not installed)."""

    def __init__(
        self,
        identity: Identity,
        second: SecondStep,
        step_ups: StepUps,
        cookies: Cookies,
        passkeys: Passkeys | None,
        passkey_login: PasskeyLogin | None,
        *,
        json_limit: int,
    ) -> None:
        self._identity = identity
        self._second = second
        self._step_ups = step_ups
        self._cookies = cookies
        self._passkeys = passkeys
        self._passkey_login = passkey_login
        self._json_limit = json_limit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        auth = f"{prefix}/auth"
        return [
            web.post(f"{auth}/totp/verify", self.verify_totp),
            web.post(f"{auth}/recovery-code/verify", self.verify_recovery_code),
            web.post(f"{auth}/passkey/options", self.passkey_options),
            web.post(f"{auth}/passkey/verify", self.verify_passkey),
            web.post(f"{auth}/step-up", self.step_up),
        ]

    async def verify_totp(self, request: web.Request) -> web.Response:
        """POST ``totp/verify``: a token answer for the login that waits for it."""
        return await self._verify_code(request, Method.TOTP)

    async def verify_recovery_code(self, request: web.Request) -> web.Response:
        """POST ``recovery-code/verify``: the same with a recovery code, which is used up."""
        return await self._verify_code(request, Method.RECOVERY_CODE)

    async def _verify_code(self, request: web.Request, method: Method) -> web.Response:
        body = await read_body(request, CodeBody, self._json_limit)
        inbound = self._from_here(request, cookies=body.cookies or body.remember)
        shown = CodeShown(method, body.code)
        return await self._finish(body.challenge, shown, inbound, cookies=body.cookies, remember=body.remember)

    async def _finish(
        self, challenge: str, shown: FactorShown, inbound: InboundRequest, *, cookies: bool, remember: bool
    ) -> web.Response:
        caller = self._identity.caller(inbound)
        pair = await self._second.finish(challenge, shown, caller, inbound.received)
        answer = self._identity.welcome(pair, inbound, cookies=cookies)
        if remember:
            await self.remember(answer, pair, inbound)
        return answer

    async def remember(self, answer: web.Response, pair: TokenPair, inbound: InboundRequest) -> None:
        """Give the browser the cookie of a remembered device, where devices are remembered."""
        caller = self._identity.caller(inbound)
        remembered = await self._second.remember(pair.user.id, caller, inbound.received)
        if remembered is not None:
            value, life = remembered
            answer.headers.add("Set-Cookie", self._cookies.set_device(value, life))
            answer.headers.update({"Cache-Control": "private, no-store", "Vary": "Cookie"})

    async def passkey_options(self, request: web.Request) -> web.Response:
        """POST ``passkey/options``: what ``navigator.credentials.get`` takes, and the challenge to send back."""
        body = await read_body(request, PasskeyOptionsBody, self._json_limit, empty=True)
        inbound = request[INBOUND]
        if body.challenge is not None:
            challenge, options = await self._options_of(body.challenge, inbound.received)
        elif body.purpose == "mfa":
            raise invalid("/challenge", "is required for this purpose")
        elif body.purpose == "step-up":
            who = await self._identity.authenticated(inbound, enrolling=True, from_anywhere=True)
            begun = await self._step_ups.begin(who.principal, inbound.received)
            challenge, options = begun.id, await self._options(begun.id, who.principal.subject)
        else:
            login = _able(self._passkey_login)
            challenge, options = await login.begin(self._identity.caller(inbound), inbound.received)
        return json_answer(OptionsAnswer(challenge=challenge, public_key=options).model_dump())

    async def _options_of(self, challenge: str, now: float) -> tuple[str, dict[str, Any]]:
        pending = await self._second.pending(challenge, now)
        if pending is None or Method.PASSKEY not in pending.methods:
            raise Problem(401, Reason.MFA_INVALID, "This login took too long, or knows no passkey; begin again.")
        return challenge, await self._options(challenge, pending.user or "")

    async def _options(self, challenge: str, user: str) -> dict[str, Any]:
        return await _able(self._passkeys).request_options(challenge, user)

    async def verify_passkey(self, request: web.Request) -> web.Response:
        """POST ``passkey/verify``: a token answer, after a password or without one."""
        body = await read_body(request, PasskeyBody, self._json_limit)
        inbound = self._from_here(request, cookies=body.cookies or body.remember)
        if await self._second.pending(body.challenge, inbound.received) is not None:
            shown = PasskeyShown(body.response)
            return await self._finish(body.challenge, shown, inbound, cookies=body.cookies, remember=body.remember)
        login, caller = _able(self._passkey_login), self._identity.caller(inbound)
        pair = await login.log_in(body.challenge, body.response, caller, inbound.received)
        return self._identity.welcome(pair, inbound, cookies=body.cookies)

    async def step_up(self, request: web.Request) -> web.Response:
        """POST ``step-up``: a fresh access token of the same session."""
        body = await read_body(request, StepUpBody, self._json_limit)
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound, enrolling=True, from_anywhere=True)
        pair = await self._step_up(who.principal, body, inbound)
        return self._identity.answer(pair, inbound.received, cookies=who.by_cookie)

    async def _step_up(self, who: Principal, body: StepUpBody, inbound: InboundRequest) -> TokenPair:
        caller, now = self._identity.caller(inbound), inbound.received
        match body.method:
            case "password":
                return await self._step_ups.by_password(who, _given(body.password, "password"), caller, now)
            case "passkey":
                challenge, response = _given(body.challenge, "challenge"), _given(body.response, "response")
                return await self._step_ups.by_factor(who, PasskeyShown(response), caller, now, challenge=challenge)
            case "otp":
                challenge, shown = _given(body.challenge, "challenge"), CodeShown(Method.OTP, _given(body.code, "code"))
                return await self._step_ups.by_factor(who, shown, caller, now, challenge=challenge)
            case "totp" | "recovery-code":
                shown = CodeShown(Method(body.method), _given(body.code, "code"))
                return await self._step_ups.by_factor(who, shown, caller, now)

    def _from_here(self, request: web.Request, *, cookies: bool) -> InboundRequest:
        """Who asks for cookies must be a page of this origin (security 8). Raises Problem (403)."""
        inbound = request[INBOUND]
        if cookies and not same_origin(inbound):
            raise Problem(403, Reason.CSRF)
        return inbound


def _able(part: _Part | None) -> _Part:
    if part is None:
        raise Problem(404, Reason.NOT_FOUND, "Passkeys are not used here.")
    return part


def _given(value: _Part | None, field: str) -> _Part:
    if value is None:
        raise invalid(f"/{field}", "is required for this method")
    return value
