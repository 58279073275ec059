"""The straight line that every request takes: ``Gate.decide``. Called by every surface; knows no web framework.

canonical target -> host -> ban -> rule that the target selects -> credentials, signature -> [one round trip: address
limit, session, user, the rule's limit] -> address limit? -> session alive, user -> ban of the user -> rule -> CSRF ->
rule limit? -> Decision. Each step either goes on or says the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace

from multidict import CIMultiDictProxy

from gatekeeper.bans.door import Door
from gatekeeper.errors import StoreUnavailable
from gatekeeper.inbound import Head, HostList, InboundRequest, rate_key
from gatekeeper.inbound.head import MOST_REMEMBERED
from gatekeeper.tokens.codec import AccessClaims, AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.principal import principal_of
from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens
from gatekeeper.tokens.sessions import (
    Facts,
    LiveRecord,
    Question,
    Session,
    Sessions,
    SessionStore,
    TokenPair,
    UserState,
)
from policies.ban_list import BanList
from policies.facts import fact
from policies.model import Decision, Principal, Reason, Report, StepUp, Verdict
from policies.rates import Counted, Limit, LimitBy, LocalWindows, Standing, whose
from policies.rules import Rule, RuleBook, admits, lacks, may_call

_MOST_PRINCIPALS = 10_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 9.2.1, less TRACE, which is refused
Claim = AccessClaims | RefreshClaim | Reason | None
ENROL = StepUp(Reason.MFA_REQUIRED, None, "2fa")
_BEFORE_RULES = frozenset({Reason.UNKNOWN_HOST, Reason.BANNED})
_LOGIN_HELPS = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_EXPIRED,
        Reason.SESSION_ENDED,
        Reason.REFRESH_REUSED,
    }
)


@fact
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


@fact
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
        bans: BanList,
    ) -> None:
        self._access = access
        self._refresh = refresh
        self._store = store
        self._sessions = sessions
        self._cookies = cookies
        self._presented: dict[Head, Presented] = {}
        self._principals: dict[str, tuple[AccessClaims, LiveRecord, Principal]] = {}
        self._bans = bans

    def present(self, request: InboundRequest) -> Presented:
        """Read the credentials: a bearer token beats cookies, and a bad one never falls back to them."""
        head = request.head
        if head is None:
            return self._present(request.headers)
        known = self._presented.get(head)
        if known is None:
            if len(self._presented) >= MOST_REMEMBERED:
                self._presented.clear()
            known = self._presented[head] = self._present(request.headers)
        return known

    def _present(self, headers: CIMultiDictProxy[str]) -> Presented:
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

    def claim(self, presented: Presented, now: float) -> AccessClaims | RefreshClaim | Reason | None:
        """What the credentials say by their own signature; None where there are none. Asks no store."""
        if presented.bad:
            return Reason.TOKEN_INVALID
        if presented.bearer is not None:
            return self._access.read(presented.bearer, now)
        if presented.access_cookie is not None:
            found = self._access.read(presented.access_cookie, now)
            if found is not Reason.TOKEN_EXPIRED or presented.refresh_cookie is None:
                return found
        if presented.refresh_cookie is not None:
            return self._refresh.read(presented.refresh_cookie) or Reason.TOKEN_INVALID
        return None

    def admit(self, claims: AccessClaims, live: LiveRecord, now: float, *, by_cookie: bool) -> Authenticated | Reason:
        """The principal of a token whose session lives, or why there is none."""
        reason = self._sessions.admits(live, claims.subject, now)
        if reason is not None or live.user is None or live.session is None:
            return reason or Reason.SESSION_ENDED
        return Authenticated(self._principal(claims, live, live.session, live.user), claims.expires_at, by_cookie)

    def _principal(self, claims: AccessClaims, live: LiveRecord, session: Session, user: UserState) -> Principal:
        """The very object of the last time while token and live record are those of the last time."""
        known = self._principals.get(claims.jti)
        if known is not None and known[0] is claims and known[1] is live:
            return known[2]
        if len(self._principals) >= _MOST_PRINCIPALS:
            self._principals.clear()
        principal = principal_of(claims, session, user)
        self._principals[claims.jti] = (claims, live, principal)
        return principal

    async def renew(self, claim: RefreshClaim, now: float) -> Authenticated | Reason:
        """A principal by renewal in passing. Raises StoreUnavailable."""
        pair = await self._sessions.renew(claim, now)
        if isinstance(pair, Reason):
            return pair
        claims = self._access.read(pair.access, now)
        if isinstance(claims, Reason):
            return claims
        principal = principal_of(claims, pair.session, pair.user)
        return Authenticated(principal, claims.expires_at, by_cookie=True, renewed=pair)

    async def authenticate(self, presented: Presented, now: float) -> Authenticated | Reason:
        """A principal, or why there is none: for the gate's own endpoints. Raises StoreUnavailable."""
        claim = self.claim(presented, now)
        if claim is None:
            return Reason.CREDENTIALS_MISSING
        if isinstance(claim, Reason):
            return claim
        if isinstance(claim, RefreshClaim):
            found = await self.renew(claim, now)
        else:
            live = await self._store.read(claim.session, claim.jti, claim.subject)
            found = self.admit(claim, live, now, by_cookie=presented.by_cookie)
        if isinstance(found, Authenticated) and self._bans.of_user(found.principal.subject, now) is not None:
            return Reason.BANNED
        return found


class Gate:
    """The decision point's front: facts in, Decision out.

    ``address_limit`` counts requests of one address; ``on_store_lost`` is told the policy that was followed.
    """

    def __init__(
        self,
        rules: RuleBook,
        hosts: HostList,
        authenticator: Authenticator,
        store: SessionStore,
        cookies: Cookies,
        address_limit: Limit,
        door: Door,
        *,
        on_store_lost: Callable[[str], None] = lambda _policy: None,
    ) -> None:
        self._rules = rules
        self._hosts = hosts
        self._authenticator = authenticator
        self._store = store
        self._cookies = cookies
        self._address_limit = address_limit
        self._door = door
        self._windows = LocalWindows()
        self._on_store_lost = on_store_lost

    @property
    def rules(self) -> RuleBook:
        """Those in force."""
        return self._rules

    def reload(self, rules: RuleBook, address_limit: Limit) -> None:
        """Other rules, and another limit of an address, from the next request on."""
        self._rules = rules
        self._address_limit = address_limit

    async def decide(self, request: InboundRequest) -> Decision:
        """Never raises for a store that is gone: that is a Decision too."""
        target, now = request.target, request.received
        if not self._hosts.serves(target.host, target.port):
            return Decision(reason=Reason.UNKNOWN_HOST)
        banned = self._door.refuses(request)
        if banned is not None:
            return banned
        rule = self._rules.find(request.method, target, request)
        presented = self._authenticator.present(request)
        claim = self._authenticator.claim(presented, now)
        question = self._question(request, rule, claim)
        try:
            facts = await self._store.ask(question)
        except StoreUnavailable:
            return self._without_store(question, rule, claim)
        if facts.address is not None and not facts.address.allowed:
            return _limited(facts.address, rule)
        if claim is None:
            return self._judge(rule, None, facts.rule, now)
        try:
            who = await self._who(claim, facts, now, by_cookie=presented.by_cookie)
            return await self._known(request, rule, who, facts)
        except StoreUnavailable:
            return self._without_store(question, rule, claim)

    def _question(self, request: InboundRequest, rule: Rule | None, claim: Claim) -> Question:
        address = rate_key(request.client)
        counted = None
        limit = rule.limit if rule is not None else None
        if isinstance(claim, AccessClaims):
            if limit is not None:
                counted = Counted(limit, whose(limit, request.headers, address, claim.subject, claim.session))
            return Question(
                request.received,
                claim.session,
                claim.jti,
                claim.subject,
                address_limit=Counted(self._address_limit, address),
                rule_limit=counted,
            )
        if limit is not None and limit.by is not LimitBy.USER and limit.by is not LimitBy.SESSION:
            counted = Counted(limit, whose(limit, request.headers, address))
        return Question(request.received, address_limit=Counted(self._address_limit, address), rule_limit=counted)

    async def _who(
        self, claim: AccessClaims | RefreshClaim | Reason, facts: Facts, now: float, *, by_cookie: bool
    ) -> Authenticated | Reason:
        if isinstance(claim, Reason):
            return claim
        if isinstance(claim, RefreshClaim):
            return await self._authenticator.renew(claim, now)
        if facts.live is None:
            return Reason.SESSION_ENDED
        return self._authenticator.admit(claim, facts.live, now, by_cookie=by_cookie)

    async def _known(
        self, request: InboundRequest, rule: Rule | None, who: Authenticated | Reason, facts: Facts
    ) -> Decision:
        """The rest of the line, once it is known who asks or why nobody does."""
        if isinstance(who, Reason):
            # On a public rule bad credentials mean anonymous.
            public = rule is not None and rule.public
            return self._judge(rule, None, facts.rule, request.received) if public else refused(who, rule)
        banned = self._door.refuses_user(who.principal.subject, request.received)
        if banned is not None:
            return replace(banned, rule=rule, principal=who.principal)
        standing = facts.rule
        if standing is None and rule is not None and rule.limit is not None and who.renewed is not None:
            standing = await self._count_renewed(rule.limit, who, request)
        decision = self._judge(rule, who.principal, standing, request.received)
        if who.by_cookie and not same_origin(request) and not may_call(rule, request.headers):
            if rule is not None and rule.public:
                return self._judge(rule, None, standing, request.received)
            if decision.verdict in {Verdict.ALLOW, Verdict.STEP_UP} or decision.reason is Reason.RATE_LIMITED:
                return Decision(reason=Reason.CSRF, rule=rule, principal=who.principal)
        if who.renewed is None:
            return decision
        return replace(decision, set_cookie=self._cookies.set_access(who.renewed, request.received))

    async def _count_renewed(self, limit: Limit, who: Authenticated, request: InboundRequest) -> Standing | None:
        """The rule's limit by user or session, which a refresh cookie did not name before it was looked up."""
        key = who.principal.subject if limit.by is LimitBy.USER else who.principal.session
        facts = await self._store.ask(Question(request.received, rule_limit=Counted(limit, key)))
        return facts.rule

    def _without_store(self, question: Question, rule: Rule | None, claim: Claim) -> Decision:
        """Redis is gone: public rules go on under a local count, whatever needs a session is refused (security 23)."""
        if question.address_limit is not None:
            address = self._windows.take(question.address_limit, question.now)
            if not address.allowed:
                return _limited(address, rule)
        self._on_store_lost("closed" if isinstance(claim, AccessClaims | RefreshClaim) else "local")
        if rule is None or rule.public or claim is None:
            standing = self._windows.take(question.rule_limit, question.now) if question.rule_limit else None
            return self._judge(rule, None, standing, question.now)
        return refused(claim if isinstance(claim, Reason) else Reason.STORE_UNAVAILABLE, rule)

    def _judge(self, rule: Rule | None, principal: Principal | None, standing: Standing | None, now: float) -> Decision:
        if rule is None:
            return Decision(reason=Reason.NO_RULE, principal=principal)
        reason = admits(rule, principal)
        if reason is not None:
            return refused(reason, rule, principal)
        if principal is not None:
            if principal.must_enrol and rule.public:
                principal = None  # nobody yet, and nobody is admitted
            elif (missing := ENROL if principal.must_enrol else lacks(rule, principal, now)) is not None:
                return Decision(Verdict.STEP_UP, missing.reason, rule, principal, step_up=missing)
        if standing is not None:
            if standing.limit.report_only:
                over = None if standing.allowed else Report(rule.name, Verdict.DENY, Reason.RATE_LIMITED)
                return Decision(Verdict.ALLOW, None, rule, principal, reported=over)
            if not standing.allowed:
                return _limited(standing, rule, principal)
        return Decision(Verdict.ALLOW, None, rule, principal, standing=standing)

    def reported(self, request: InboundRequest, decision: Decision) -> Decision:
        """The same decision, with what a rule that only reports would have made of it. For books with a ``trial``."""
        rule = self._rules.tried(request.method, request.target, request)
        if rule is None or decision.reason in _BEFORE_RULES:
            return decision
        would = self._judge(rule, decision.principal, None, request.received)
        return replace(decision, reported=Report(rule.name, would.verdict, would.reason))


def _limited(standing: Standing, rule: Rule | None, principal: Principal | None = None) -> Decision:
    own = standing if rule is not None and standing.limit is rule.limit else None
    return Decision(reason=Reason.RATE_LIMITED, rule=rule, principal=principal, standing=own, retry_after=standing.wait)


def refused(reason: Reason, rule: Rule | None, principal: Principal | None = None) -> Decision:
    """A refusal: LOGIN where signing in would help, else DENY."""
    verdict = Verdict.LOGIN if reason in _LOGIN_HELPS else Verdict.DENY
    return Decision(verdict, reason, rule, principal)


def same_origin(request: InboundRequest) -> bool:
    """Whether a request with cookies may act: safe method, or Origin and Sec-Fetch-Site say same-origin.

    Where both are sent both must; neither sent is refused (security 8).
    """
    headers = request.headers
    # Proxies that ask verify drop Upgrade, but not what else makes a WebSocket (RFC 6455 4.1).
    if request.method in SAFE_METHODS and "Upgrade" not in headers and "Sec-WebSocket-Version" not in headers:
        return True
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin.lower() == f"{request.target.scheme}://{request.target.authority}"
