"""Codes, verification and recovery under ``P/auth``. Each handler parses, calls one service and renders."""

from __future__ import annotations

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.gate import same_origin
from gatekeeper.identity.bodies import RegisterBody, invalid, read_body
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.endpoints import Identity, user_answer
from gatekeeper.identity.factors.otp import Asked, OneTimeCodes
from gatekeeper.identity.mail_bodies import (
    AskedAnswer,
    ChangeEmailBody,
    ForgotBody,
    OtpRequestBody,
    OtpVerifyBody,
    ResendBody,
    ResetBody,
    VerifyEmailBody,
)
from gatekeeper.identity.otp_login import OtpLogin
from gatekeeper.identity.recovery import Recovery
from gatekeeper.identity.registration import Registration
from gatekeeper.inbound import InboundRequest
from policies.model import Reason


class MailEndpoints:
    """The handlers; ``json_limit`` in bytes."""

    def __init__(
        self,
        identity: Identity,
        codes: OneTimeCodes,
        otp_login: OtpLogin,
        proofs: EmailProofs,
        recovery: Recovery,
        registration: Registration,
        *,
        json_limit: int,
    ) -> None:
        self._identity = identity
        self._codes = codes
        self._otp_login = otp_login
        self._proofs = proofs
        self._recovery = recovery
        self._registration = registration
        self._json_limit = json_limit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        auth = f"{prefix}/auth"
        return [
            web.post(f"{auth}/register", self.register),
            web.post(f"{auth}/otp/request", self.request_code),
            web.post(f"{auth}/otp/verify", self.verify_code),
            web.post(f"{auth}/password/forgot", self.forgot),
            web.post(f"{auth}/password/reset", self.reset),
            web.post(f"{auth}/email/verify", self.verify_email),
            web.post(f"{auth}/email/resend", self.resend),
            web.post(f"{auth}/email/change", self.change_email),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """POST ``register``: 201 with the user, or 202 where the e-mail is to be verified first."""
        # A closed door says so before it reads what somebody brought.
        if self._registration.settings.mode == "closed":
            self._registration.refuse_unless_open(invited=False)
        body = await read_body(request, RegisterBody, self._json_limit)
        inbound = request[INBOUND]
        made = await self._registration.register(
            body.email,
            body.password,
            body.name,
            self._identity.caller(inbound),
            inbound.received,
            invitation=body.invite,
        )
        return _asked(made) if isinstance(made, Asked) else json_answer(user_answer(made).model_dump(), status=201)

    async def request_code(self, request: web.Request) -> web.Response:
        """POST ``otp/request``: 202, whoever the e-mail belongs to."""
        body = await read_body(request, OtpRequestBody, self._json_limit, empty=True)
        inbound = request[INBOUND]
        caller, now = self._identity.caller(inbound), inbound.received
        if body.challenge is not None:
            if body.email is not None:
                raise invalid("/email", "cannot stand beside a challenge")
            return _asked(await self._codes.resend(body.challenge, caller, now))
        if body.purpose == "mfa":
            raise invalid("/challenge", "is required for this purpose")
        if body.purpose == "step-up":
            return _asked(await self._request_step_up(inbound, body.email))
        if body.email is None:
            raise invalid("/email", "is required for this purpose")
        if body.purpose == "verify-email":
            return _asked(await self._proofs.ask(body.email, caller, now))
        return _asked(await self._codes.request_login(body.email, caller, now))

    async def _request_step_up(self, inbound: InboundRequest, email: str | None) -> Asked:
        who = (await self._identity.authenticated(inbound, enrolling=True, from_anywhere=True)).principal
        if email is not None and email.strip().casefold() != who.email:
            raise invalid("/email", "is not yours; it may be left out")
        caller = self._identity.caller(inbound)
        return await self._codes.request_step_up(who.subject, who.session, caller, inbound.received)

    async def verify_code(self, request: web.Request) -> web.Response:
        """POST ``otp/verify``: a token answer."""
        body = await read_body(request, OtpVerifyBody, self._json_limit)
        inbound = request[INBOUND]
        if body.cookies and not same_origin(inbound):
            raise Problem(403, Reason.CSRF)
        caller = self._identity.caller(inbound)
        pair = await self._otp_login.verify(body.challenge, body.code, caller, inbound.received)
        return self._identity.answer(pair, inbound.received, cookies=body.cookies)

    async def forgot(self, request: web.Request) -> web.Response:
        """POST ``password/forgot``: 202, whoever the e-mail belongs to."""
        body = await read_body(request, ForgotBody, self._json_limit)
        inbound = request[INBOUND]
        await self._recovery.forgot(body.email, self._identity.caller(inbound), inbound.received)
        return json_answer({}, status=202)

    async def reset(self, request: web.Request) -> web.Response:
        """POST ``password/reset``: 200 with the user; nobody is signed in by it, and every session has ended."""
        body = await read_body(request, ResetBody, self._json_limit)
        inbound = request[INBOUND]
        caller = self._identity.caller(inbound)
        user = await self._recovery.reset(body.token, body.password, caller, inbound.received)
        return json_answer(user_answer(user).model_dump())

    async def verify_email(self, request: web.Request) -> web.Response:
        """POST ``email/verify``: 200 with the user, whose e-mail it now is."""
        body = await read_body(request, VerifyEmailBody, self._json_limit)
        inbound = request[INBOUND]
        caller, now = self._identity.caller(inbound), inbound.received
        if body.token is not None:
            if body.challenge is not None or body.code is not None:
                raise invalid("/token", "cannot stand beside a challenge and its code")
            user = (await self._proofs.confirm_link(body.token, caller, now, password=body.password)).user
        elif body.password is not None:
            raise invalid("/password", "goes with a token only")
        elif body.challenge is None or body.code is None:
            missing = "token" if body.challenge is None and body.code is None else "challenge"
            missing = "code" if body.challenge is not None else missing
            raise invalid(f"/{missing}", "is required")
        else:
            user = await self._proofs.confirm_code(body.challenge, body.code, caller, now)
        return json_answer(user_answer(user).model_dump())

    async def resend(self, request: web.Request) -> web.Response:
        """POST ``email/resend``: 202, whoever the e-mail belongs to."""
        body = await read_body(request, ResendBody, self._json_limit)
        inbound = request[INBOUND]
        return _asked(await self._proofs.ask(body.email, self._identity.caller(inbound), inbound.received))

    async def change_email(self, request: web.Request) -> web.Response:
        """POST ``email/change``: 202; the e-mail changes when the new address is confirmed."""
        body = await read_body(request, ChangeEmailBody, self._json_limit)
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound)
        caller = self._identity.caller(inbound)
        return _asked(await self._proofs.change(who.principal, body.email, caller, inbound.received))


def _asked(asked: Asked) -> web.Response:
    answer = AskedAnswer(challenge=asked.challenge, expires_in=asked.expires_in, resend_after=asked.resend_after)
    return json_answer(answer.model_dump(), status=202)
