"""The straight line that every request takes: ``Gate.decide``. Called by every surface; knows no web framework.

canonical target -> host -> rule that the target selects -> credentials, signature -> [one round trip]
-> session alive, user -> rule -> CSRF -> Decision. Each step either goes on or says the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gatekeeper.errors import StoreUnavailable
from gatekeeper.inbound import HostList, InboundRequest
from gatekeeper.tokens.codec import AccessClaims, AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.refresh import RefreshTokens
from gatekeeper.tokens.sessions import Sessions, SessionStore, TokenPair, UserState
from policies.model import Decision, Principal, Reason, Verdict
from policies.rules import Rule, RuleBook, admits

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 9.2.1, less TRACE, which is refused
_LOGIN_HELPS = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_EXPIRED,
        Reason.SESSION_ENDED,
        Reason.REFRESH_REUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Presented:
    """The credentials of a request, read but not yet believed."""

    bearer: str | None = field(default=None, repr=False)
    access_cookie: str | None = field(default=None, repr=False)
    refresh_cookie: str | None = field(default=None, repr=False)
    bad: bool = False

    @property
    def by_cookie(self) -> bool:
        """Whether a browser sent them by itself (so CSRF matters)."""
        return self.bearer is None and not self.bad

    @property
    def none(self) -> bool:
        """Whether there are none."""
        return self.bearer is None and self.access_cookie is None and self.refresh_cookie is None and not self.bad


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A believed principal; ``renewed`` where it was renewed in passing."""

    principal: Principal
    expires_at: float
    by_cookie: bool
    renewed: TokenPair | None = None


class Authenticator:
    """Who asks? Shared by the gate and by the gate's own endpoints."""

    def __init__(
        self,
        access: AccessTokens,
        refresh: RefreshTokens,
        store: SessionStore,
        sessions: Sessions,
        cookies: Cookies,
    ) -> None:
        self._access = access
        self._refresh = refresh
        self._store = store
        self._sessions = sessions
        self._cookies = cookies

    def present(self, request: InboundRequest) -> Presented:
        """Read the credentials: a bearer token beats cookies, and a bad one never falls back to them."""
        headers = request.headers
        if "X-Api-Key" in headers:
            return Presented(bad=True)  # no keys are issued yet, so none is good
        authorization = headers.get("Authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer":
                return Presented(bearer=token.strip()) if token.strip() else Presented(bad=True)
        if "Cookie" not in headers:
            return Presented()
        cookies = self._cookies.read(headers.getall("Cookie"))
        if cookies.doubled:
            return Presented(bad=True)
        return Presented(access_cookie=cookies.access, refresh_cookie=cookies.refresh)

    async def authenticate(self, presented: Presented, now: float) -> Authenticated | Reason:
        """A principal, or why there is none. Raises StoreUnavailable."""
        if presented.bad:
            return Reason.TOKEN_INVALID
        if presented.bearer is not None:
            return await self._by_token(presented.bearer, now, by_cookie=False)
        if presented.access_cookie is not None:
            found = await self._by_token(presented.access_cookie, now, by_cookie=True)
            if found is not Reason.TOKEN_EXPIRED or presented.refresh_cookie is None:
                return found
        if presented.refresh_cookie is not None:
            return await self._by_renewal(presented.refresh_cookie, now)
        return Reason.CREDENTIALS_MISSING

    async def _by_token(self, token: str, now: float, *, by_cookie: bool) -> Authenticated | Reason:
        claims = self._access.read(token, now)
        if isinstance(claims, Reason):
            return claims
        live = await self._store.read(claims.session, claims.jti, claims.subject)
        reason = self._sessions.admits(live, claims.subject, now)
        if reason is not None or live.user is None:
            return reason or Reason.SESSION_ENDED
        return Authenticated(principal_of(claims, live.user), claims.expires_at, by_cookie)

    async def _by_renewal(self, token: str, now: float) -> Authenticated | Reason:
        claim = self._refresh.read(token)
        if claim is None:
            return Reason.TOKEN_INVALID
        pair = await self._sessions.renew(claim, now)
        if isinstance(pair, Reason):
            return pair
        claims = self._access.read(pair.access, now)
        if isinstance(claims, Reason):
            return claims
        return Authenticated(principal_of(claims, pair.user), claims.expires_at, by_cookie=True, renewed=pair)


class Gate:
    """The decision point's front: facts in, Decision out."""

    def __init__(self, rules: RuleBook, hosts: HostList, authenticator: Authenticator, cookies: Cookies) -> None:
        self._rules = rules
        self._hosts = hosts
        self._authenticator = authenticator
        self._cookies = cookies

    async def decide(self, request: InboundRequest) -> Decision:
        """Never raises for a store that is gone: that is a Decision too."""
        target, now = request.target, request.received
        if not self._hosts.serves(target.host, target.port):
            return Decision(reason=Reason.UNKNOWN_HOST)
        rule = self._rules.find(request.method, target)
        presented = self._authenticator.present(request)
        if presented.none:
            return self._judge(rule, None)
        try:
            who = await self._authenticator.authenticate(presented, now)
        except StoreUnavailable:
            who = Reason.STORE_UNAVAILABLE
        if isinstance(who, Reason):
            # On a public rule bad or uncheckable credentials mean anonymous.
            return self._judge(rule, None) if rule is not None and rule.public else refused(who, rule)
        decision = self._judge(rule, who.principal)
        if decision.verdict is Verdict.ALLOW and who.by_cookie and not same_origin(request):
            if rule is not None and rule.public:
                return self._judge(rule, None)
            return Decision(reason=Reason.CSRF, rule=rule, principal=who.principal)
        if who.renewed is None:
            return decision
        return replace(decision, set_cookie=self._cookies.set_access(who.renewed, now))

    def _judge(self, rule: Rule | None, principal: Principal | None) -> Decision:
        if rule is None:
            return Decision(reason=Reason.NO_RULE, principal=principal)
        reason = admits(rule, principal)
        if reason is None:
            return Decision(Verdict.ALLOW, None, rule, principal)
        return refused(reason, rule, principal)


def refused(reason: Reason, rule: Rule | None, principal: Principal | None = None) -> Decision:
    """A refusal: LOGIN where signing in would help, else DENY."""
    verdict = Verdict.LOGIN if reason in _LOGIN_HELPS else Verdict.DENY
    return Decision(verdict, reason, rule, principal)


def same_origin(request: InboundRequest) -> bool:
    """Whether a request with cookies may act: safe method, or Origin and Sec-Fetch-Site say same-origin.

    Where both are sent both must; neither sent is refused (security 8).
    """
    if request.method in SAFE_METHODS and "Upgrade" not in request.headers:
        return True
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin.lower() == f"{request.target.scheme}://{request.target.authority}"


def principal_of(claims: AccessClaims, user: UserState) -> Principal:
    """The token's facts with the live user's roles and e-mail."""
    return Principal(
        subject=claims.subject,
        email=user.email,
        roles=frozenset(user.roles),
        session=claims.session,
        jti=claims.jti,
        email_verified=user.email_verified,
        name=user.name,
        acr=claims.acr,
        amr=claims.amr,
        auth_time=claims.auth_time,
    )
