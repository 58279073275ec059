"""Two-step verification of one's own account: adding, listing, removing. Routed by ``views``.

Open to a session that must add a factor before it may do anything else.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.errors import Problem
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.factors.enrolment import Enrolled, Enrolment
from gatekeeper.identity.factors.records import Factors, Passkey
from gatekeeper.pages import words
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame, passkey_answer
from gatekeeper.pages.language import Language, later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import Handler
from policies.model import Principal, Reason

_LONGEST_NAME: Final = 100  # characters, as in the API
_LONGEST_CODE: Final = 64
_DONE: Final[Mapping[str, str]] = {
    "app": later("Your authenticator app is set up."),
    "app-removed": later("Your authenticator app is removed."),
    "passkey": later("Your passkey is added."),
    "passkey-removed": later("The passkey is removed."),
    "devices": later("Every device will be asked for a second factor again."),
}
_Change = Callable[[Principal, Caller, float], Awaitable[object]]


class FactorPages:
    """The handlers of ``P/account/factors``; ``passkeys`` where they are used here."""

    def __init__(self, frame: Frame, enrolment: Enrolment, *, totp: bool, passkeys: bool) -> None:
        self._frame = frame
        self._enrolment = enrolment
        self._totp = totp
        self._passkeys = passkeys
        self._home = frame.address("account/factors")

    def fresh(self, handler: Handler) -> Handler:
        """``handler``; where it wants a fresh login, the way to the step-up page and back to the list."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except Problem as refusal:
                if "acr_values" not in refusal.extra:
                    raise
                strength = "&acr_values=2fa" if refusal.extra["acr_values"] == "2fa" else ""
                return see_other(with_next(self._frame.address("step-up"), self._home) + strength)

        return handle

    async def overview(self, request: web.Request) -> web.Response:
        """GET: what there is and what may be added."""
        who = await self._frame.visits.signed_in(request, enrolling=True)
        return await self._page(request, who, done=_DONE.get(request.query.get("done", "")))

    async def back(self, _request: web.Request) -> web.Response:
        """GET of an address that forms are sent to."""
        return see_other(self._home)

    async def begin_totp(self, request: web.Request) -> web.Response:
        """POST ``totp``: the secret of a new app, to scan or to type."""
        fields, who = await self._asked(request)
        new = await self._enrolment.begin_totp(who.principal, request[INBOUND].received)
        secret = {
            "secret": " ".join(new.secret[start : start + 4] for start in range(0, len(new.secret), 4)),
            "uri": new.uri,
            "qr": "data:image/svg+xml;base64," + base64.b64encode(new.qr.encode()).decode(),
        }
        return self._totp_page(request, who, fields, secret)

    async def confirm_totp(self, request: web.Request) -> web.Response:
        """POST ``totp/confirm``: a code of it puts it in force."""
        fields, who = await self._asked(request)
        inbound, code = request[INBOUND], fields.get("code", "").strip()[:_LONGEST_CODE]
        caller = self._frame.identity.caller(inbound)
        try:
            enrolled = await self._enrolment.confirm_totp(who.principal, code, caller, inbound.received)
        except Problem as refusal:
            if refusal.reason not in {Reason.MFA_INVALID, Reason.RATE_LIMITED}:
                raise
            return self._totp_page(request, who, fields, None, refusal)
        return self._enrolled(request, enrolled, fields, "app")

    async def remove_totp(self, request: web.Request) -> web.Response:
        """POST ``totp/remove``."""
        return await self._change(request, self._enrolment.remove_totp, "app-removed")

    async def add_passkey(self, request: web.Request) -> web.Response:
        """POST ``passkeys``: what the browser made, under a name."""
        fields, who = await self._asked(request)
        inbound = request[INBOUND]
        name = fields.get("name", "").strip()[:_LONGEST_NAME] or self._frame.say(request, later("Passkey"))
        enrolled = await self._enrolment.add_passkey(
            who.principal,
            fields.get("challenge", ""),
            name,
            passkey_answer(fields),
            self._frame.identity.caller(inbound),
            inbound.received,
        )
        return self._enrolled(request, enrolled, fields, "passkey")

    async def remove_passkey(self, request: web.Request) -> web.Response:
        """POST ``passkeys/remove``: the one that ``id`` names."""
        fields, _ = await self._asked(request)

        async def remove(who: Principal, caller: Caller, now: float) -> None:
            await self._enrolment.remove_passkey(who, fields.get("id", ""), caller, now)

        return await self._change(request, remove, "passkey-removed", fields)

    async def renew_codes(self, request: web.Request) -> web.Response:
        """POST ``recovery-codes``: ten new ones, shown once."""
        fields, who = await self._asked(request)
        inbound = request[INBOUND]
        caller = self._frame.identity.caller(inbound)
        codes = await self._enrolment.renew_recovery_codes(who.principal, caller, inbound.received)
        page = self._codes_page(request, codes, fields)
        return self._frame.visits.renewed(page, who, inbound.received)

    async def forget_devices(self, request: web.Request) -> web.Response:
        """POST ``devices``: every remembered one."""
        return await self._change(request, self._enrolment.forget_devices, "devices")

    async def _asked(self, request: web.Request) -> tuple[Mapping[str, str], Authenticated]:
        fields = await self._frame.form(request)
        return fields, await self._frame.visits.signed_in(request, back=self._home, enrolling=True)

    async def _change(
        self, request: web.Request, change: _Change, done: str, fields: Mapping[str, str] | None = None
    ) -> web.Response:
        if fields is None:
            await self._frame.form(request)
        who = await self._frame.visits.signed_in(request, back=self._home, enrolling=True)
        inbound = request[INBOUND]
        await change(who.principal, self._frame.identity.caller(inbound), inbound.received)
        return self._frame.visits.renewed(see_other(f"{self._home}?done={done}"), who, inbound.received)

    def _enrolled(self, request: web.Request, enrolled: Enrolled, fields: Mapping[str, str], done: str) -> web.Response:
        """Recovery codes are shown once, so they come before anything else."""
        target = self._frame.target(fields.get("next"))
        if enrolled.recovery_codes is not None:
            answer = self._codes_page(request, enrolled.recovery_codes, fields)
        else:
            answer = see_other(f"{self._home}?done={done}" if target == HOME else target)
        self._frame.identity.set_cookies(answer, enrolled.pair, request[INBOUND].received)
        return answer

    def _codes_page(self, request: web.Request, codes: tuple[str, ...], fields: Mapping[str, str]) -> web.Response:
        target = self._frame.target(fields.get("next"))
        context = {"here": None, "codes": codes, "next": self._home if target == HOME else target}
        return self._frame.page(request, "recovery_codes.html", context)

    def _totp_page(
        self,
        request: web.Request,
        who: Authenticated,
        fields: Mapping[str, str],
        secret: Mapping[str, str] | None,
        fault: Problem | None = None,
    ) -> web.Response:
        target, language = self._frame.target(fields.get("next")), self._frame.theme.language_of(request)
        faults = {"code": words.sentence(fault, language)} if fault else {}
        context = {"here": None, "new": secret, "next": None if target == HOME else target, "faults": faults}
        page = self._frame.page(request, "totp.html", context, fault=fault)
        return self._frame.visits.renewed(page, who, request[INBOUND].received)

    async def _page(self, request: web.Request, who: Authenticated, *, done: str | None) -> web.Response:
        now, language = request[INBOUND].received, self._frame.theme.language_of(request)
        factors = await self._enrolment.factors_of(who.principal.subject, now)
        target = self._frame.target(request.query.get("next"))
        context = {
            "here": with_next(self._home, target),
            "must_enrol": who.principal.must_enrol,
            "next": None if target == HOME else target,
            "done": language.say(done) if done else None,
            "email": who.principal.email,
            "takes_totp": self._totp,
            "takes_passkeys": self._passkeys,
            **_shown(factors, now, language),
        }
        page = self._frame.page(request, "factors.html", context)
        return self._frame.visits.renewed(page, who, now)


def _shown(factors: Factors, now: float, language: Language) -> dict[str, Any]:
    return {
        "totp": factors.totp_since is not None and _used(factors.totp_since, factors.totp_last_used, now, language),
        "passkeys": [_passkey(passkey, now, language) for passkey in factors.passkeys],
        "codes_left": factors.recovery_codes_left,
        "devices": factors.remembered_devices,
        "any": factors.any,
    }


def _passkey(passkey: Passkey, now: float, language: Language) -> dict[str, Any]:
    used = _used(passkey.created_at, passkey.last_used_at, now, language)
    return {"id": passkey.id, "name": passkey.name, "synced": passkey.synced, **used}


def _used(since: float, last: float | None, now: float, language: Language) -> dict[str, Any]:
    return {"since": language.day(since), "last": language.distance(last, now) if last is not None else None}
