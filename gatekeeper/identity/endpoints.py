"""The JSON API under ``P/auth``. Each handler parses, calls one service and renders."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gatekeeper.answers import STATUS, json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated, Authenticator
from gatekeeper.clock import as_datetime
from gatekeeper.errors import Problem
from gatekeeper.gate import CONFIRM, same_origin
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.bodies import (
    ChangePasswordBody,
    LoginBody,
    LogoutBody,
    RefreshBody,
    SessionAnswer,
    TokenAnswer,
    UserAnswer,
    WhoAmI,
    invalid,
    read_body,
)
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.fingerprints import Fingerprints
from gatekeeper.identity.limits import AttemptCounter, Rate, take_or_refuse
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.passwords import Passwords
from gatekeeper.identity.second_step import refused_for
from gatekeeper.identity.session_watch import SessionWatch
from gatekeeper.identity.tallies import REFRESH
from gatekeeper.inbound import InboundRequest
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.devices import DeviceTokens
from gatekeeper.tokens.keyring import KeyRing
from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens
from gatekeeper.tokens.sessions import Sessions, TokenPair, UserState
from geo.lookup import PlaceFinder
from policies.ban_list import BanList
from policies.model import Principal, Reason


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """The configuration that the endpoints read; ``json_limit`` in bytes."""

    refresh_per_session: Rate
    json_limit: int


def user_answer(user: UserState) -> UserAnswer:
    """A user as the API shows it."""
    return UserAnswer(
        id=user.id, email=user.email, email_verified=user.email_verified, name=user.name, roles=list(user.roles)
    )


def token_answer(pair: TokenPair, *, cookies: bool) -> dict[str, object]:
    """The body of a token answer; without the tokens where they go into cookies."""
    body = TokenAnswer(
        access_token=None if cookies else pair.access,
        expires_in=pair.access_expires_in,
        refresh_token=None if cookies else pair.refresh,
        refresh_expires_in=pair.refresh_expires_in,
        session_id=pair.session.id,
        user=user_answer(pair.user),
        must_enrol=pair.session.must_enrol,
    ).model_dump()
    if cookies:
        del body["access_token"], body["refresh_token"]
    if not pair.session.must_enrol:
        del body["must_enrol"]
    return body


class Identity:
    """The handlers; ``routes`` puts them under the prefix."""

    def __init__(
        self,
        *,
        settings: IdentitySettings,
        accounts: Accounts,
        passwords: Passwords,
        login: PasswordLogin,
        sessions: Sessions,
        authenticator: Authenticator,
        cookies: Cookies,
        known: DeviceTokens,
        bans: BanList,
        refresh_tokens: RefreshTokens,
        counter: AttemptCounter,
        keys: KeyRing,
        places: PlaceFinder,
        fingerprints: Fingerprints,
        watch: SessionWatch,
        audit: AuditLog,
        notices: Notices,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._passwords = passwords
        self._login = login
        self._sessions = sessions
        self._authenticator = authenticator
        self._cookies = cookies
        self._known = known
        self._bans = bans
        self._refresh_tokens = refresh_tokens
        self._counter = counter
        self._keys = keys
        self._places = places
        self._fingerprints = fingerprints
        self._watch = watch
        self._audit = audit
        self._notices = notices

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        auth = f"{prefix}/auth"
        return [
            web.post(f"{auth}/login", self.log_in),
            web.post(f"{auth}/refresh", self.refresh),
            web.post(f"{auth}/logout", self.log_out),
            web.get(f"{auth}/session", self.session),
            web.get(f"{auth}/sessions", self.list_sessions),
            web.delete(f"{auth}/sessions/{{sid}}", self.end_session),
            web.post(f"{auth}/password/change", self.change_password),
            web.get(f"{prefix}/jwks.json", self.jwks),
        ]

    async def log_in(self, request: web.Request) -> web.Response:
        """POST ``login``: a token answer."""
        body = await read_body(request, LoginBody, self._settings.json_limit)
        inbound = request[INBOUND]
        if body.cookies and not same_origin(inbound):
            raise Problem(403, Reason.CSRF)
        pair = await self._login.log_in(body.email, body.password, self.caller(inbound), inbound.received)
        return self.welcome(pair, inbound, cookies=body.cookies)

    async def refresh(self, request: web.Request) -> web.Response:
        """POST ``refresh``: the next token answer of the family, by body or by cookie."""
        body = await read_body(request, RefreshBody, self._settings.json_limit, empty=True)
        inbound = request[INBOUND]
        token, by_cookie = body.refresh_token, False
        if token is None:
            token, by_cookie = self._authenticator.present(inbound).refresh_cookie, True
            if token is None:
                raise Problem(401, Reason.REFRESH_INVALID, "There is no refresh token, in the body or as a cookie.")
            if not same_origin(inbound):
                raise Problem(403, Reason.CSRF)
        claim = self._refresh_tokens.read(token)
        if claim is None:
            raise Problem(401, Reason.REFRESH_INVALID)
        await take_or_refuse(self._counter, self._settings.refresh_per_session, *REFRESH.key(claim.session))
        origin = self.caller(inbound).origin() if by_cookie else None
        pair = await self._sessions.refresh(claim, inbound.received, cookie_from=origin)
        if pair is Reason.REFRESH_REUSED:
            await self._watch.reused(claim, self.caller(inbound), inbound.received)
        if isinstance(pair, Reason):
            raise Problem(401, pair)
        banned = self._bans.of_user(pair.user.id, inbound.received)
        if banned is not None:
            raise refused_for(banned, inbound.received)
        odd = await self._watch.used(pair, self.caller(inbound), inbound.received)
        if odd is not None:
            raise Problem(STATUS[odd], odd)
        return self.answer(pair, inbound.received, cookies=by_cookie)

    def renewed(self, claim: RefreshClaim, outcome: TokenPair | Reason, inbound: InboundRequest) -> None:
        """Tokens were renewed in passing, or not (``Authenticator.on_renewal``)."""
        self._watch.note(claim, outcome, self.caller(inbound), inbound.received)

    async def log_out(self, request: web.Request) -> web.Response:
        """POST ``logout``: 204; ``scope`` this, others or all."""
        body = await read_body(request, LogoutBody, self._settings.json_limit, empty=True)
        inbound = request[INBOUND]
        who = await self.authenticated(inbound, enrolling=True, from_anywhere=True)
        await self.end_sessions(who, body.scope, inbound.received)
        answer = web.Response(status=204, headers={"Cache-Control": "no-store"})
        if who.by_cookie and body.scope != "others":
            for value in self._cookies.clear():
                answer.headers.add("Set-Cookie", value)
        return answer

    async def end_sessions(self, who: Authenticated, scope: str, now: float) -> None:
        """Log out: this session, the others, or all of them. In force on the next request, everywhere."""
        principal = who.principal
        match scope:
            case "all":
                await self._accounts.log_out(principal.subject, now)
            case "others":
                await self._accounts.log_out(principal.subject, now, keep=principal.session)
            case _:
                until = who.expires_at
                await self._sessions.end_token(principal.session, principal.jti, until=until, now=now)
                await self._sessions.end([principal.session], "logout", now)

    async def session(self, request: web.Request) -> web.Response:
        """GET ``session``: who am I."""
        who = await self.authenticated(request[INBOUND])
        principal = who.principal
        answer = WhoAmI(
            session_id=principal.session,
            user=_user_of(principal),
            acr=principal.acr,
            amr=list(principal.amr),
            auth_time=_rfc3339(principal.auth_time),
            expires_at=_rfc3339(who.expires_at),
        )
        return self.with_renewal(json_answer(answer.model_dump()), who, request[INBOUND].received)

    async def list_sessions(self, request: web.Request) -> web.Response:
        """GET ``sessions``: mine, newest first."""
        inbound = request[INBOUND]
        who = await self.authenticated(inbound)
        records = await self._sessions.open_of(who.principal.subject, inbound.received)
        sessions = [
            SessionAnswer(
                id=record.id,
                current=record.id == who.principal.session,
                started_at=_rfc3339(record.started_at),
                expires_at=_rfc3339(record.expires_at),
                address=str(record.origin.address),
                country=record.origin.country,
                user_agent=record.origin.user_agent,
                amr=list(record.amr),
            ).model_dump()
            for record in records
        ]
        return self.with_renewal(json_answer({"sessions": sessions}), who, inbound.received)

    async def end_session(self, request: web.Request) -> web.Response:
        """DELETE ``sessions/{sid}``: end one of mine; 404 for anything else."""
        inbound = request[INBOUND]
        who = await self.authenticated(inbound)
        await self.end_own(who, request.match_info["sid"], inbound.received)
        return web.Response(status=204, headers={"Cache-Control": "no-store"})

    async def end_own(self, who: Authenticated, sid: str, now: float) -> None:
        """End one session of the caller's. Raises Problem (404) for anything else."""
        mine = await self._sessions.open_of(who.principal.subject, now)
        if sid not in {record.id for record in mine}:
            raise Problem(404, Reason.NOT_FOUND, "You have no such session.")
        await self._sessions.end([sid], "ended-by-owner", now)

    async def change_password(self, request: web.Request) -> web.Response:
        """POST ``password/change``: every other session ends, this one goes on."""
        body = await read_body(request, ChangePasswordBody, self._settings.json_limit)
        inbound = request[INBOUND]
        who = await self.authenticated(inbound)
        fault = await self._passwords.fault(body.new_password)
        if fault:
            raise invalid("/new_password", fault)
        user = await self.replace_password(inbound, who, body.current_password, body.new_password)
        return self.with_renewal(json_answer(user_answer(user).model_dump()), who, inbound.received)

    async def replace_password(self, inbound: InboundRequest, who: Authenticated, current: str, new: str) -> UserState:
        """A new password that the rules admit, for whoever knows the current one; every other session ends.

        Raises Problem (401, 429, 503) or StoreUnavailable.
        """
        principal = who.principal
        await self._login.confirm(principal.subject, current, self.caller(inbound), inbound.received)
        hashed = await self._passwords.hash(new)
        user = await self._accounts.set_password(principal.subject, hashed, inbound.received, keep=principal.session)
        if user is None:
            raise Problem(401, Reason.SESSION_ENDED)
        await self._note(inbound, user.id, "user.password", user.id)
        await self._notices.password_changed(user, self.caller(inbound), inbound.received)
        return user

    async def jwks(self, request: web.Request) -> web.Response:
        """GET ``jwks.json``: the public keys (RFC 7517)."""
        answer = json_answer(self._keys.jwks(request[INBOUND].received))
        answer.headers["Cache-Control"] = "public, max-age=300"
        return answer

    async def authenticated(
        self, inbound: InboundRequest, *, enrolling: bool = False, from_anywhere: bool = False
    ) -> Authenticated:
        """The caller of an endpoint that needs a session. Raises Problem (401, 403) or StoreUnavailable.

        ``enrolling``: also one who must add a second factor before anything else; ``from_anywhere`` as in
        ``Authenticator``.
        """
        found = await self._authenticator.authenticate(inbound, from_anywhere=from_anywhere)
        if isinstance(found, Reason):
            if found is Reason.BINDING_MISMATCH and self._authenticator.confirms:
                raise Problem(401, found, acr_values=CONFIRM.acr_values)
            raise Problem(STATUS[found], found)
        if found.by_cookie and not same_origin(inbound):
            raise Problem(403, Reason.CSRF)
        if found.principal.must_enrol and not enrolling:
            raise Problem(401, Reason.MFA_REQUIRED, "Add a second factor first.", acr_values="2fa")
        return found

    def caller(self, inbound: InboundRequest) -> Caller:
        """Where an attempt comes from."""
        place = self._places.find(inbound.client)
        return Caller(
            address=inbound.client,
            country=place.country if place else None,
            user_agent=inbound.headers.get("User-Agent", "")[:512],
            request_id=inbound.request_id,
            device=self._cookies.device(inbound.headers.getall("Cookie", [])),
            known=self._cookies.known(inbound.headers.getall("Cookie", [])),
            place=place,
            fingerprint=self._fingerprints.of(inbound),
        )

    def remember_browser(self, answer: web.StreamResponse, inbound: InboundRequest, user: str) -> None:
        """After a login that keeps cookies: this browser has signed in to this account (security 20)."""
        presented = self._cookies.known(inbound.headers.getall("Cookie", []))
        answer.headers.add("Set-Cookie", self._cookies.set_known(self._known.remember(presented, user)))

    def welcome(self, pair: TokenPair, inbound: InboundRequest, *, cookies: bool) -> web.Response:
        """The token answer after a login; with ``cookies`` the browser is remembered as known."""
        answer = self.answer(pair, inbound.received, cookies=cookies)
        if cookies:
            self.remember_browser(answer, inbound, pair.user.id)
        return answer

    def set_cookies(self, answer: web.StreamResponse, pair: TokenPair, now: float) -> None:
        """Put both tokens into cookies; only the access token where there is no other."""
        answer.headers.add("Set-Cookie", self._cookies.set_access(pair, now))
        if pair.refresh is not None:
            answer.headers.add("Set-Cookie", self._cookies.set_refresh(pair, now))
        answer.headers["Cache-Control"] = "private, no-store"
        answer.headers["Vary"] = "Cookie"

    def answer(self, pair: TokenPair, now: float, *, cookies: bool) -> web.Response:
        """A token answer; with ``cookies`` the tokens are in these."""
        answer = json_answer(token_answer(pair, cookies=cookies))
        if cookies:
            self.set_cookies(answer, pair, now)
        return answer

    def with_renewal(self, answer: web.Response, who: Authenticated, now: float) -> web.Response:
        """The answer, with the access cookie where it was renewed in passing."""
        if who.renewed is not None:
            answer.headers.add("Set-Cookie", self._cookies.set_access(who.renewed, now))
            answer.headers["Cache-Control"] = "private, no-store"
            answer.headers["Vary"] = "Cookie"
        return answer

    async def _note(
        self, inbound: InboundRequest, actor: str, action: str, subject: str, *, after: dict[str, object] | None = None
    ) -> None:
        change = Change(
            time=inbound.received,
            actor=actor,
            action=action,
            subject=subject,
            after=after,
            address=inbound.client,
            request_id=inbound.request_id,
        )
        await self._audit.record_change(change)


def _user_of(principal: Principal) -> UserAnswer:
    return UserAnswer(
        id=principal.subject,
        email=principal.email,
        email_verified=principal.email_verified,
        name=principal.name,
        roles=sorted(principal.roles),
    )


def _rfc3339(seconds: float) -> str:
    return as_datetime(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")
