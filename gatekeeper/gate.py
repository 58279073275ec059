"""The straight line that every request takes: ``Gate.decide``. Called by every surface; knows no web framework.

canonical target -> host -> ban -> rule that the target selects -> credentials, signature -> [one round trip: address
limit, session, user, the rule's limit] -> address limit? -> session alive, user -> ban of the user -> binding of the
session -> rule -> CSRF -> rule limit? -> Decision. Each step either goes on or says the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gatekeeper.authenticator import Authenticated, Authenticator, Presented
from gatekeeper.bans.door import Door
from gatekeeper.errors import StoreUnavailable
from gatekeeper.inbound import HostList, InboundRequest, rate_key
from gatekeeper.tokens.api_keys import KeyClaim
from gatekeeper.tokens.codec import AccessClaims
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.foreign import ENTRY, ForeignClaims, ForeignTokens, account_of
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import (
    Facts,
    Question,
    SessionStore,
)
from policies.model import Decision, Principal, Reason, Report, StepUp, Verdict
from policies.rates import Counted, Limit, LimitBy, LocalWindows, Standing, whose
from policies.rules import Rule, RuleBook, admits, lacks, may_call

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 9.2.1, less TRACE, which is refused
Known = AccessClaims | RefreshClaim | ForeignClaims | KeyClaim
Claim = Known | Reason | None
_INVALID = Reason.TOKEN_INVALID
_NOBODY = Principal("", "", frozenset(), "", "")
ENROL = StepUp(Reason.MFA_REQUIRED, None, "2fa")
CONFIRM = StepUp(Reason.BINDING_MISMATCH, None, "1fa 2fa")
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
        foreign: ForeignTokens | None = None,
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
        self._foreign = foreign
        self._on_store_lost = on_store_lost

    @property
    def rules(self) -> RuleBook:
        """Those in force."""
        return self._rules

    @property
    def address_limit(self) -> Limit:
        """``limits.default``, in force."""
        return self._address_limit

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
        claim: Claim = self._authenticator.claim(presented, now)
        if claim is _INVALID and self._foreign is not None and presented.bearer is not None:
            claim = await self._foreign.read(presented.bearer, now)
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
            who = await self._who(claim, facts, request, presented)
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
        if isinstance(claim, ForeignClaims):  # the rule's limit is counted once the blacklist has been asked
            use = Counted(self._address_limit, address)
            return Question(request.received, claim.session, ENTRY, address_limit=use)
        if isinstance(claim, KeyClaim) and claim.user:
            if limit is not None:
                counted = Counted(limit, whose(limit, request.headers, address, claim.user, claim.session))
            use = Counted(self._address_limit, address)
            return Question(request.received, user=claim.user, address_limit=use, rule_limit=counted, key=claim.digest)
        if limit is not None and not _named_later(limit, claim):
            counted = Counted(limit, whose(limit, request.headers, address))
        return Question(request.received, address_limit=Counted(self._address_limit, address), rule_limit=counted)

    async def _who(
        self, claim: Known | Reason, facts: Facts, request: InboundRequest, shown: Presented
    ) -> Authenticated | Reason:
        if isinstance(claim, Reason):
            return claim
        if isinstance(claim, ForeignClaims):
            if facts.live is None or facts.live.blacklisted:
                return Reason.SESSION_ENDED
            return Authenticated(claim.principal, claim.expires_at, by_cookie=False, counts_as=account_of(claim))
        if isinstance(claim, RefreshClaim):
            return await self._authenticator.renew(claim, request)
        if isinstance(claim, KeyClaim):
            return await self._authenticator.by_key(shown, claim, facts.key, request)
        if facts.live is None:
            return Reason.SESSION_ENDED
        return self._authenticator.admit(claim, facts.live, request.received, by_cookie=shown.by_cookie)

    async def _known(
        self, request: InboundRequest, rule: Rule | None, who: Authenticated | Reason, facts: Facts
    ) -> Decision:
        """The rest of the line, once it is known who asks or why nobody does."""
        if isinstance(who, Reason):
            # On a public rule bad credentials mean anonymous.
            if rule is None or not rule.public:
                return refused(who, rule)
            standing = facts.rule
            if rule.limit is not None and (standing is None or facts.key is not None):
                standing = await self._count_late(rule.limit, "", _NOBODY, request)
            return self._judge(rule, None, standing, request.received)
        banned = self._door.refuses_user(who.principal.subject, request.received)
        if banned is not None:
            return replace(banned, rule=rule, principal=who.principal)
        if who.by_cookie and (mismatch := self._authenticator.mismatch(who, request)):
            reason = await self._authenticator.moved(who, mismatch, request)
            if reason is not None:
                return self._elsewhere(reason, rule, who.principal, facts.rule, request.received)
        standing = facts.rule
        # Of a key that Redis had lost nothing was counted.
        if rule is not None and rule.limit is not None and who.counts_as is not None and (not standing or facts.key):
            standing = await self._count_late(rule.limit, who.counts_as, who.principal, request)
        decision = self._judge(rule, who.principal, standing, request.received)
        if who.by_cookie and not same_origin(request) and not may_call(rule, request.headers):
            if rule is not None and rule.public:
                return self._judge(rule, None, standing, request.received)
            if decision.verdict in {Verdict.ALLOW, Verdict.STEP_UP} or decision.reason is Reason.RATE_LIMITED:
                return Decision(reason=Reason.CSRF, rule=rule, principal=who.principal)
        if who.renewed is None:
            return decision
        return replace(decision, set_cookie=self._cookies.set_access(who.renewed, request.received))

    def _elsewhere(
        self, reason: Reason, rule: Rule | None, principal: Principal, standing: Standing | None, now: float
    ) -> Decision:
        """A session that is used from where it is not bound to: its owner confirms, or signs in again where it has
        ended.
        """
        if rule is not None and rule.public:
            return self._judge(rule, None, standing, now)
        if self._authenticator.confirms:
            return Decision(Verdict.STEP_UP, reason, rule, principal, step_up=CONFIRM)
        return Decision(Verdict.LOGIN, reason, rule, principal)

    async def _count_late(
        self, limit: Limit, user: str, principal: Principal, request: InboundRequest
    ) -> Standing | None:
        """The rule's limit of whoever was not known by name before the round trip."""
        key = whose(limit, request.headers, rate_key(request.client), user, principal.session)
        facts = await self._store.ask(Question(request.received, rule_limit=Counted(limit, key)))
        return facts.rule

    def _without_store(self, question: Question, rule: Rule | None, claim: Claim) -> Decision:
        """Redis is gone: public rules go on under a local count, whatever needs a session is refused (security 23)."""
        if question.address_limit is not None:
            address = self._windows.take(question.address_limit, question.now)
            if not address.allowed:
                return _limited(address, rule)
        self._on_store_lost("local" if claim is None or isinstance(claim, Reason) else "closed")
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
            if rule.public and (principal.must_enrol or not principal.as_owner):
                principal = None  # nobody yet, or nobody here, and nobody is admitted
            elif principal.key is not None and lacks(rule, principal, now) is not None:
                return refused(Reason.RULE_DENIED, rule, principal)  # no key can show that
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


def _named_later(limit: Limit, claim: Claim) -> bool:
    """Whether only a look-up says whose count it is."""
    if limit.by is LimitBy.KEY:
        return isinstance(claim, RefreshClaim | KeyClaim)
    return limit.by is LimitBy.USER or limit.by is LimitBy.SESSION


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
