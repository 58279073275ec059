"""The account page: who one is, the password, the sessions, what happened lately. Routed by ``views``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.api_keys import ApiKeys
from gatekeeper.identity.challenges import Purpose
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.factors.enrolment import Enrolment
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.profile import Profile
from gatekeeper.identity.setup import ROLE
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.pages import words
from gatekeeper.pages.api_keys import shown_keys
from gatekeeper.pages.codes import CodePages
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import Language, later
from gatekeeper.pages.next import HOME, with_next
from gatekeeper.pages.theme import stamped
from gatekeeper.pages.typed import email_faults, email_of, service_faults
from gatekeeper.tokens.sessions import Sessions
from geo.device import find_device
from policies.model import Reason

SHOWN: Final = 10  # latest sign-ins
_DONE: Final[Mapping[str, str]] = {
    "name": later("Your name is changed."),
    "email": later("Your e-mail is confirmed."),
    "password": later("Your password is changed, and your other sessions have ended."),
    "session": later("The session has ended."),
    "api-key": later("The API key is revoked."),
    "sessions": later("All your other sessions have ended."),
    "not-me": later("All your other sessions have ended. Now set a new password: somebody else may know yours."),
}
_HAPPENED: Final[Mapping[Result, str]] = {
    Result.SUCCESS: later("Signed in"),
    Result.FAILURE: later("Failed to sign in"),
    Result.BLOCKED: later("Blocked after too many attempts"),
}
#: A right password that a second step should follow is neither; its owner should know it from a wrong one.
_WHY: Final[Mapping[Reason, str]] = {
    Reason.MFA_REQUIRED: later("First step passed, second step asked for"),
    Reason.MFA_INVALID: later("Failed at the second step"),
    Reason.EMAIL_UNVERIFIED: later("Right password, but the e-mail is not confirmed yet"),
    Reason.PASSWORD_CHANGE_REQUIRED: later("Right password, but a new one had to be set first"),
    Reason.BANNED: later("Blocked"),
}
_HALFWAY: Final = frozenset({Reason.MFA_REQUIRED, Reason.EMAIL_UNVERIFIED, Reason.PASSWORD_CHANGE_REQUIRED})


class OwnAttempts(Protocol):
    """Login attempts of one account. Raises StoreUnavailable."""

    async def latest_of(self, user: str, count: int) -> Sequence[Attempt]:
        """Newest first."""


class AccountPages:
    """The handlers of ``P/account``."""

    def __init__(
        self,
        frame: Frame,
        *,
        accounts: Accounts,
        profile: Profile,
        passwords: Passwords,
        proofs: EmailProofs,
        codes: CodePages,
        enrolment: Enrolment,
        sessions: Sessions,
        keys: ApiKeys,
        attempts: OwnAttempts,
    ) -> None:
        self._frame = frame
        self._theme = frame.theme
        self._visits = frame.visits
        self._identity = frame.identity
        self._accounts = accounts
        self._profile = profile
        self._passwords = passwords
        self._proofs = proofs
        self._codes = codes
        self._enrolment = enrolment
        self._sessions = sessions
        self._keys = keys
        self._attempts = attempts
        self._home = frame.address("account")

    async def overview(self, request: web.Request) -> web.Response:
        """GET ``account``; ``done`` names what has just been changed."""
        who = await self._visits.signed_in(request)
        return await self._page(request, who, done=_DONE.get(request.query.get("done", "")))

    async def back(self, _request: web.Request) -> web.Response:
        """GET of an address that forms are sent to: reloaded, or found in the history."""
        return see_other(self._home)

    async def change_name(self, request: web.Request) -> web.Response:
        """POST ``account/name``; an empty one removes it."""
        fields = await self._frame.form(request)
        who = await self._visits.signed_in(request, back=self._home)
        inbound, typed = request[INBOUND], fields.get("name", "").strip()
        fault = await self._profile.rename(who.principal.subject, typed or None, inbound)
        if fault is None:
            return self._done("name", who, request)
        faults = {"name": words.field_fault("name", fault, self._theme.language_of(request))}
        return await self._page(request, who, faults=faults, typed={"name": typed})

    async def change_email(self, request: web.Request) -> web.Response:
        """POST ``account/email``: both addresses are told; the code page, or first a fresh login."""
        fields = await self._frame.form(request)
        who = await self._visits.signed_in(request, back=self._home)
        inbound, typed, language = request[INBOUND], email_of(fields), self._theme.language_of(request)
        caller = self._identity.caller(inbound)
        faults = email_faults(typed, language)
        if not faults:
            try:
                asked = await self._proofs.change(who.principal, canonical_email(typed), caller, inbound.received)
                page = self._codes.ask(request, asked, Purpose.CHANGE_EMAIL, typed, HOME)
                return self._visits.renewed(page, who, inbound.received)
            except InvalidEmail as fault:
                faults["email"] = words.field_fault("email", str(fault), language)
            except Problem as refusal:
                if "acr_values" in refusal.extra:
                    return see_other(self._fresh_first(refusal))
                if refusal.status not in {422, 429}:
                    raise
                faults = service_faults(refusal, language) or {"email": words.sentence(refusal, language)}
        return await self._page(request, who, faults=faults, typed={"email": typed})

    async def verify_email(self, request: web.Request) -> web.Response:
        """POST ``account/email/verify``: the present e-mail gets link and code."""
        await self._frame.form(request)
        who = await self._visits.signed_in(request, back=self._home)
        page = await self._codes.verify(request, who.principal.email, HOME)
        return self._visits.renewed(page, who, request[INBOUND].received)

    async def change_password(self, request: web.Request) -> web.Response:
        """POST ``account/password``: every other session ends, this one goes on."""
        fields = await self._frame.form(request)
        who = await self._visits.signed_in(request, back=self._home)
        language = self._theme.language_of(request)
        current, new = fields.get("current_password", ""), fields.get("new_password", "")
        faults = {}
        if not current:
            faults["current_password"] = language.say("Enter your password.")
        wrong = await self._passwords.fault(new)
        if wrong is not None:
            faults["new_password"] = words.field_fault("password", wrong, language)
        if not faults:
            try:
                await self._identity.replace_password(request[INBOUND], who, current, new)
            except Problem as refusal:
                if refusal.status not in {401, 429}:
                    raise
                faults["current_password"] = words.sentence(refusal, language)
        if faults:
            return await self._page(request, who, faults=faults)
        return self._done("password", who, request)

    async def end_session(self, request: web.Request) -> web.Response:
        """POST ``account/sessions``: the one that ``session`` names, or with ``others`` all but this one; ``not_me``
        names one that is somebody else's, or is empty for a sign-in of theirs: all but this one, and a new password is
        asked for.
        """
        fields = await self._frame.form(request)
        who = await self._visits.signed_in(request, back=self._home)
        now = request[INBOUND].received
        if "not_me" in fields:
            if fields["not_me"]:
                await self._identity.end_own(who, fields["not_me"], now)
            await self._identity.end_sessions(who, "others", now)
            return self._done("not-me", who, request)
        if "others" in fields:
            await self._identity.end_sessions(who, "others", now)
            return self._done("sessions", who, request)
        await self._identity.end_own(who, fields.get("session", ""), now)
        return self._done("session", who, request)

    def _done(self, what: str, who: Authenticated, request: web.Request) -> web.Response:
        return self._visits.renewed(see_other(f"{self._home}?done={what}"), who, request[INBOUND].received)

    async def _page(
        self,
        request: web.Request,
        who: Authenticated,
        *,
        done: str | None = None,
        faults: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        now, user = request[INBOUND].received, who.principal.subject
        account = await self._accounts.find(user)
        if account is None:
            raise Problem(401, Reason.SESSION_ENDED)
        language, lacking = self._theme.language_of(request), await self._proofs.lacking(who.principal, now)
        context = {
            "account": _shown(account, language),
            "typed": {"name": account.state.name or "", "email": "", **(typed or {})},
            "changes_email": request.query.get("change") == "email",
            "fresh_first": None if lacking is None else self._fresh_first(lacking),
            "admin": ROLE in account.state.roles,
            "sessions": await self._shown_sessions(who, now, language),
            "attempts": [
                _attempt(one, who.principal.session, now, language)
                for one in await self._attempts.latest_of(user, SHOWN)
            ],
            "factors": await self._factors(user, now),
            "api_keys": shown_keys(await self._keys.of_user(user, now), now, language),
            "faults": faults or {},
            "done": language.say(done) if done else None,
            "min_length": self._passwords.rules.min_length,
        }
        page = self._theme.page(request, "account.html", context, status=422 if faults else 200)
        if faults:
            stamped(page, Problem(422, Reason.VALIDATION))
        return self._visits.renewed(page, who, now)

    def _fresh_first(self, lacking: Problem) -> str:
        """The step-up page, and back to the form for another e-mail."""
        address = with_next(self._frame.address("step-up"), f"{self._home}?change=email")
        return address + ("&acr_values=2fa" if lacking.extra["acr_values"] == "2fa" else "")

    async def _factors(self, user: str, now: float) -> dict[str, object]:
        factors = await self._enrolment.factors_of(user, now)
        return {
            "any": factors.any,
            "totp": factors.totp_since is not None,
            "passkeys": len(factors.passkeys),
            "codes": factors.recovery_codes_left,
        }

    async def _shown_sessions(self, who: Authenticated, now: float, language: Language) -> list[dict[str, object]]:
        living = await self._sessions.living_of(who.principal.subject, now)
        return [
            {
                "id": record.id,
                "current": record.id == who.principal.session,
                "device": device_in(language, record.origin.user_agent),
                "country": language.country(record.origin.country),
                "address": str(record.origin.address),
                "started": language.moment(record.started_at),
                "seen": language.distance(seen_at, now),
            }
            for record, seen_at in sorted(living, key=lambda one: one[0].id != who.principal.session)
        ]


def device_in(language: Language, user_agent: str) -> str:
    """``Chrome 131 on Windows``, in the page's language."""
    device = find_device(user_agent)
    if device.program and device.system:
        return language.say("%(program)s on %(system)s", program=device.program, system=device.system)
    return device.program or device.system or language.say("Unknown device")


def _shown(account: Account, language: Language) -> dict[str, object]:
    state = account.state
    return {
        "email": state.email,
        "email_verified": state.email_verified,
        "roles": list(state.roles),
        "since": language.day(account.created_at),
    }


def _attempt(attempt: Attempt, session: str, now: float, language: Language) -> dict[str, object]:
    why = _WHY.get(attempt.reason) if attempt.reason else None
    bad = "" if attempt.reason in _HALFWAY else "danger"
    return {
        "mark": "good" if attempt.result is Result.SUCCESS else bad,
        "what": language.say(why or _HAPPENED[attempt.result]),
        "device": device_in(language, attempt.user_agent),
        "country": language.country(attempt.country),
        "address": str(attempt.address),
        "time": language.moment(attempt.time),
        "ago": language.distance(attempt.time, now),
        "let_in": attempt.result is Result.SUCCESS and attempt.session != session,
    }
