"""``P/auth/factors``: listing, adding and removing one's second factors. Handlers parse, call one service, render.

Open to a session that must add a factor before anything else; the rest of the API is not.
"""

from __future__ import annotations

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.clock import as_datetime
from gatekeeper.identity.bodies import read_body
from gatekeeper.identity.endpoints import Identity, token_answer
from gatekeeper.identity.factor_bodies import (
    ConfirmTotpBody,
    FactorsAnswer,
    NewPasskeyBody,
    NewTotpAnswer,
    OptionsAnswer,
    PasskeyAnswer,
    RecoveryCodesAnswer,
    TotpAnswer,
)
from gatekeeper.identity.factors.enrolment import Enrolled, Enrolment
from gatekeeper.identity.factors.records import Factors, Passkey
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.inbound import InboundRequest


class FactorEndpoints:
    """The handlers; ``json_limit`` in bytes."""

    def __init__(self, identity: Identity, enrolment: Enrolment, second: SecondStep, *, json_limit: int) -> None:
        self._identity = identity
        self._enrolment = enrolment
        self._second = second
        self._json_limit = json_limit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        factors = f"{prefix}/auth/factors"
        return [
            web.get(factors, self.listing),
            web.post(f"{factors}/totp", self.begin_totp),
            web.post(f"{factors}/totp/confirm", self.confirm_totp),
            web.delete(f"{factors}/totp", self.remove_totp),
            web.post(f"{factors}/passkeys/options", self.begin_passkey),
            web.post(f"{factors}/passkeys", self.add_passkey),
            web.delete(f"{factors}/passkeys/{{id}}", self.remove_passkey),
            web.post(f"{factors}/recovery-codes", self.renew_recovery_codes),
            web.delete(f"{factors}/devices", self.forget_devices),
        ]

    async def listing(self, request: web.Request) -> web.Response:
        """GET ``factors``: what I have."""
        inbound, who = await self._asked(request)
        factors = await self._enrolment.factors_of(who.principal.subject, inbound.received)
        required = self._second.required(who.principal.roles)
        answer = json_answer(_factors(factors, required=required).model_dump())
        return self._identity.with_renewal(answer, who, inbound.received)

    async def begin_totp(self, request: web.Request) -> web.Response:
        """POST ``factors/totp``: a secret to put into an app."""
        inbound, who = await self._asked(request)
        new = await self._enrolment.begin_totp(who.principal, inbound.received)
        answer = json_answer(NewTotpAnswer(secret=new.secret, uri=new.uri, qr=new.qr).model_dump())
        return self._identity.with_renewal(answer, who, inbound.received)

    async def confirm_totp(self, request: web.Request) -> web.Response:
        """POST ``factors/totp/confirm``: a code of it; from now on the app is asked for."""
        body = await read_body(request, ConfirmTotpBody, self._json_limit)
        inbound, who = await self._asked(request)
        caller = self._identity.caller(inbound)
        enrolled = await self._enrolment.confirm_totp(who.principal, body.code, caller, inbound.received)
        return self._enrolled(enrolled, who, inbound, status=200)

    async def remove_totp(self, request: web.Request) -> web.Response:
        """DELETE ``factors/totp``."""
        inbound, who = await self._asked(request)
        await self._enrolment.remove_totp(who.principal, self._identity.caller(inbound), inbound.received)
        return self._nothing(who, inbound)

    async def begin_passkey(self, request: web.Request) -> web.Response:
        """POST ``factors/passkeys/options``: what ``navigator.credentials.create`` takes."""
        inbound, who = await self._asked(request)
        challenge, options = await self._enrolment.begin_passkey(who.principal, inbound.received)
        answer = json_answer(OptionsAnswer(challenge=challenge, public_key=options).model_dump())
        return self._identity.with_renewal(answer, who, inbound.received)

    async def add_passkey(self, request: web.Request) -> web.Response:
        """POST ``factors/passkeys``: what it made."""
        body = await read_body(request, NewPasskeyBody, self._json_limit)
        inbound, who = await self._asked(request)
        enrolled = await self._enrolment.add_passkey(
            who.principal, body.challenge, body.name, body.response, self._identity.caller(inbound), inbound.received
        )
        return self._enrolled(enrolled, who, inbound, status=201)

    async def remove_passkey(self, request: web.Request) -> web.Response:
        """DELETE ``factors/passkeys/{id}``."""
        inbound, who = await self._asked(request)
        passkey = request.match_info["id"]
        await self._enrolment.remove_passkey(who.principal, passkey, self._identity.caller(inbound), inbound.received)
        return self._nothing(who, inbound)

    async def renew_recovery_codes(self, request: web.Request) -> web.Response:
        """POST ``factors/recovery-codes``: ten new ones; the old ones are void."""
        inbound, who = await self._asked(request)
        caller = self._identity.caller(inbound)
        codes = await self._enrolment.renew_recovery_codes(who.principal, caller, inbound.received)
        answer = json_answer(RecoveryCodesAnswer(codes=list(codes)).model_dump())
        return self._identity.with_renewal(answer, who, inbound.received)

    async def forget_devices(self, request: web.Request) -> web.Response:
        """DELETE ``factors/devices``: every remembered one."""
        inbound, who = await self._asked(request)
        await self._enrolment.forget_devices(who.principal, self._identity.caller(inbound), inbound.received)
        return self._nothing(who, inbound)

    async def _asked(self, request: web.Request) -> tuple[InboundRequest, Authenticated]:
        inbound = request[INBOUND]
        return inbound, await self._identity.authenticated(inbound, enrolling=True)

    def _enrolled(
        self, enrolled: Enrolled, who: Authenticated, inbound: InboundRequest, *, status: int
    ) -> web.Response:
        passkey = None if enrolled.passkey is None else passkey_answer(enrolled.passkey).model_dump()
        body = {
            "tokens": token_answer(enrolled.pair, cookies=who.by_cookie),
            "recovery_codes": enrolled.recovery_codes,
            "passkey": passkey,
        }
        answer = json_answer(body, status=status)
        if who.by_cookie:
            self._identity.set_cookies(answer, enrolled.pair, inbound.received)
        return answer

    def _nothing(self, who: Authenticated, inbound: InboundRequest) -> web.Response:
        answer = web.Response(status=204, headers={"Cache-Control": "no-store"})
        return self._identity.with_renewal(answer, who, inbound.received)


def _factors(factors: Factors, *, required: bool) -> FactorsAnswer:
    totp = None
    if factors.totp_since is not None:
        totp = TotpAnswer(since=_rfc3339(factors.totp_since), last_used_at=_when(factors.totp_last_used))
    return FactorsAnswer(
        required=required,
        totp=totp,
        passkeys=[passkey_answer(passkey) for passkey in factors.passkeys],
        recovery_codes_left=factors.recovery_codes_left,
        remembered_devices=factors.remembered_devices,
    )


def passkey_answer(passkey: Passkey) -> PasskeyAnswer:
    """A passkey as the API shows it."""
    return PasskeyAnswer(
        id=passkey.id,
        name=passkey.name,
        synced=passkey.synced,
        created_at=_rfc3339(passkey.created_at),
        last_used_at=_when(passkey.last_used_at),
    )


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else _rfc3339(seconds)


def _rfc3339(seconds: float) -> str:
    return as_datetime(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")
