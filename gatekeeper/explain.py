"""Which rule decides about a request, and why each other does not. For ``gatekeeper explain`` and the panel's tester.

Asks the very code that the gate asks (``canonical_target``, ``HostList``, ``RuleBook``) and, by ``ban_on``, the bans:
whoever the caller is said to be is believed, with the roles given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from math import inf
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDict

from gatekeeper.answers import STATUS
from gatekeeper.config.types import say_duration
from gatekeeper.inbound import HostList, canonical_target
from policies.criteria import CountryOf
from policies.model import Address, KeyGrant, Principal, Reason, RequestTarget, StepUp
from policies.rules import Access, Outcome, Rule, RuleBook, Step, admits, lacks
from policies.scopes import parse_scopes

WHOLE_ADDRESS: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]+)(?P<rest>[/?].*)?", re.DOTALL)
_LOOPBACK: Final = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Supposed:
    """A request that might come, at ``at`` (Unix seconds). ``url`` is a whole address, or a path at ``public_url``.

    ``user`` an e-mail, which is verified; ages in seconds, None: too long ago. ``country`` None: as the database says.
    With ``scopes`` an API key of that user comes, which has these.
    """

    method: str
    url: str
    at: float
    user: str | None = None
    roles: Sequence[str] = ()
    address: Address | None = None
    country: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    mfa_age: float | None = None
    auth_age: float | None = None
    scopes: Sequence[str] = ()

    def principal(self, target: RequestTarget | None) -> Principal | None:
        """Whoever is said to call; the clock stands at 0, so that ages are times before it."""
        given = (self.user, self.mfa_age, self.auth_age)
        if not self.roles and not self.scopes and all(value is None for value in given):
            return None
        logged_in = self.mfa_age if self.auth_age is None else self.auth_age
        return Principal(
            "explain",
            self.user or "somebody",
            frozenset(self.roles),
            "explain",
            "explain",
            email_verified=True,
            acr="1fa" if self.mfa_age is None else "2fa",
            auth_time=-inf if logged_in is None else -logged_in,
            mfa_time=-inf if self.mfa_age is None else -self.mfa_age,
            key=self._key(target) if self.scopes else None,
        )

    def _key(self, target: RequestTarget | None) -> KeyGrant:
        scopes = parse_scopes(self.scopes)
        return KeyGrant("explain", scopes.names, target is not None and scopes.as_owner(self.method, target.path))


@dataclass(frozen=True, slots=True)
class Suspect:
    """Whose bans are asked for; None for what is not known of the request."""

    address: Address | None
    country: str | None
    agent: str | None
    email: str | None

    @property
    def nobody(self) -> bool:
        """Whether nothing is known that a ban could be on."""
        return self.address is None and self.country is None and self.agent is None and self.email is None


@dataclass(frozen=True, slots=True)
class Found:
    """The ban that decides, in words; or a remark where none does."""

    ban: str | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Fared:
    """How one rule fared, in words."""

    rule: str
    outcome: Outcome
    words: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the gate would do: ``reason`` is None where it lets the request through; ``words`` why.

    ``target`` is None where there is no canonical one; ``rules`` are empty where none is asked; ``remark`` is about
    bans.
    """

    caller: str
    target: RequestTarget | None
    reason: Reason | None
    words: str
    rules: Sequence[Fared] = field(default_factory=tuple)
    remark: str | None = None

    @property
    def status(self) -> int | None:
        """Of a refusal, at the proxy."""
        return None if self.reason is None else STATUS[self.reason]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request as criteria see it (``policies.criteria.AccessRequest``)."""

    target: RequestTarget
    client: Address
    headers: CIMultiDict[str]
    received: float


class Explainer:
    """``rules`` gives those in force; ``country_of`` knows where addresses are, ``ban_on`` who is banned."""

    def __init__(
        self,
        rules: Callable[[], RuleBook],
        hosts: HostList,
        *,
        public_url: str,
        prefix: str,
        country_of: CountryOf,
        ban_on: Callable[[Suspect], Found],
    ) -> None:
        self._rules = rules
        self._hosts = hosts
        self._public_url = public_url
        self._prefix = prefix
        self._country_of = country_of
        self._ban_on = ban_on

    def explain(self, asked: Supposed) -> Explanation:
        """All of it."""
        scheme, host, raw = _split(asked.url, self._public_url)
        target = canonical_target(raw, scheme=scheme, host_field=host)
        principal = asked.principal(target)
        caller = _name(principal)
        if target is None:
            words = "host or path is malformed or ambiguous, so no rule is asked"
            return Explanation(caller, None, Reason.BAD_TARGET, words)
        if not self._hosts.serves(target.host, target.port):
            words = f"{target.authority} is neither public_url's host nor one of hosts"
            return Explanation(caller, target, Reason.UNKNOWN_HOST, words)
        known = self._country_of if asked.country is None else lambda _address: asked.country
        request = _Asked(target, asked.address or _LOOPBACK, CIMultiDict(asked.headers), asked.at)
        health = target.path.startswith(f"{self._prefix}/health/")
        found = Found() if health else self._ban_on(_suspect(asked, request, known))
        if found.ban is not None:
            return Explanation(caller, target, Reason.BANNED, found.ban, remark=found.remark)
        if target.path == self._prefix or target.path.startswith(f"{self._prefix}/"):
            words = f"{self._prefix} is the gate's own, no rule is asked"
            return Explanation(caller, target, None, words, remark=found.remark)
        steps = self._rules().explain(asked.method, target, request, country_of=known)
        reason, words = _decide(steps, principal)
        fared = tuple(_fared(step, principal) for step in steps)
        return Explanation(caller, target, reason, words, fared, found.remark)


def _suspect(asked: Supposed, request: _Asked, country_of: CountryOf) -> Suspect:
    given = asked.address is not None or asked.country is not None
    country = country_of(request.client) if given else None
    return Suspect(asked.address, country, request.headers.get("User-Agent"), asked.user)


def _split(url: str, public_url: str) -> tuple[str, str, str]:
    """Scheme, Host field and request target as a client would send them."""
    match = WHOLE_ADDRESS.fullmatch(url)
    if match is None:
        public = urlsplit(public_url)
        return public.scheme, public.netloc, url
    rest = match["rest"] or "/"
    return match["scheme"], match["host"], rest if rest.startswith("/") else f"/{rest}"


def _name(principal: Principal | None) -> str:
    if principal is None:
        return "nobody (not signed in)"
    roles = ", ".join(sorted(principal.roles)) or "none"
    if principal.key is None:
        return f"{principal.email} (roles: {roles})"
    scopes = ", ".join(sorted(principal.key.scopes)) or "none"
    words = "stands for its owner here" if principal.as_owner else f"is no more than its named scopes here: {scopes}"
    return f"an API key of {principal.email} (roles: {roles}), which {words}"


def _decide(steps: Sequence[Step], principal: Principal | None) -> tuple[Reason | None, str]:
    step = next((step for step in steps if step.outcome in {Outcome.DECIDES, Outcome.UNCLEAR}), None)
    if step is None:
        return Reason.NO_RULE, "no rule matches"
    rule = step.rule
    if step.outcome is Outcome.UNCLEAR:
        return Reason.NO_RULE, f"rule {_place(rule)} cannot tell whether it matches: {step.detail}"
    reason = admits(rule, principal)
    if reason is not None:
        return reason, f"rule {_place(rule)} decides and admits {admitted(rule)}"
    missing = None if principal is None else lacks(rule, principal, 0.0)
    if missing is not None and principal is not None and principal.key is not None:
        return Reason.RULE_DENIED, f"rule {_place(rule)} decides and asks for more than an API key can show"
    if missing is not None:
        return missing.reason, f"rule {_place(rule)} decides and asks for {_asked(rule, missing)}"
    return None, f"rule {_place(rule)} decides and admits {admitted(rule)}; to upstream {rule.upstream}"


def _place(rule: Rule) -> str:
    return rule.name if rule.line is None else f"{rule.name} (line {rule.line})"


def admitted(rule: Rule) -> str:
    """Whom the rule admits, in words."""
    if rule.access is Access.SUBJECTS:
        return " or ".join(map(str, rule.subjects))
    return f"roles {', '.join(sorted(rule.roles))}" if rule.roles else rule.access.value


def _asked(rule: Rule, missing: StepUp) -> str:
    factors = "two factors" if missing.acr_values == "2fa" else "a login or step-up"
    if rule.step_up is None:
        return f"{factors} (--mfa-age says when they were used)"
    flag = "--mfa-age" if missing.acr_values == "2fa" else "--auth-age or --mfa-age"
    return f"{factors} at most {say_duration(rule.step_up)} old ({flag} says how old)"


def _needed(rule: Rule, principal: Principal | None) -> str:
    """What the caller would need to be admitted; nothing where it is."""
    if admits(rule, principal) is None:
        missing = None if principal is None else lacks(rule, principal, 0.0)
        return "" if missing is None else _asked(rule, missing)
    if rule.access is Access.NOBODY:
        return "another rule: this one admits nobody"
    if principal is None:
        return "a sign-in" if rule.access is Access.AUTHENTICATED else f"a sign-in with {admitted(rule)}"
    if not principal.as_owner and rule.access is not Access.SUBJECTS:
        return "a scope of the key for this path"
    if rule.access is Access.SUBJECTS:
        return " or ".join(", ".join(subject.lacks(principal)) for subject in rule.subjects)
    return f"one of the {admitted(rule)}"


def _fared(step: Step, principal: Principal | None) -> Fared:
    return Fared(_place(step.rule), step.outcome, _said(step, principal))


def _said(step: Step, principal: Principal | None) -> str:
    match step.outcome:
        case Outcome.DECIDES:
            needed = _needed(step.rule, principal)
            return f"decides{f', would need {needed}' if needed else ''}"
        case Outcome.REPORTS:
            needed = _needed(step.rule, principal)
            return f"would decide{f' and need {needed}' if needed else ''}, but only reports"
        case Outcome.UNCLEAR:
            return f"refuses, as nobody can tell {step.criterion}: {step.detail}"
        case Outcome.TOO_LATE:
            return f"matches too, but {step.detail}"
        case Outcome.MISS:
            return f"no, {step.criterion}: {step.detail}"
