"""Rules: the first that matches a request decides. ``RuleBook.find`` is called by ``gatekeeper.gate`` on every
request and ``explain`` by ``gatekeeper explain``; ``policies.load`` builds the book from a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, assert_never

from policies.criteria import AccessRequest, Answer, CountryOf, Criterion, judge_all
from policies.effects import Effects
from policies.globs import ANY_DEPTH, Glob, split_path
from policies.hosts import HostPattern
from policies.model import Principal, Reason, RequestTarget, StepUp
from policies.patterns import PathRegex
from policies.rates import HeaderLines, Limit
from policies.subjects import Subject

PathPattern = Glob | PathRegex
WEBSOCKET: Final = frozenset({"websocket"})


class Access(StrEnum):
    """Whom a rule admits."""

    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    ROLES = "roles"
    SUBJECTS = "subjects"
    NOBODY = "nobody"


class Outcome(StrEnum):
    """What became of a rule for one request."""

    DECIDES = "decides"
    REPORTS = "reports"  # would decide, but only reports
    UNCLEAR = "unclear"  # a criterion cannot be judged, so the request is refused
    TOO_LATE = "too-late"  # would match, but an earlier rule decides
    MISS = "miss"


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. ``hosts`` and ``methods`` are None where any will do; ``line`` is that of the file.

    ``upgrade`` holds the protocols, in lower case, to which a request may switch (RFC 9110 7.8). ``step_up`` is how
    old an authentication may be, in seconds; it must be by two factors where ``mfa`` says so and, under ``step_up``,
    for whoever has one of ``mfa_roles``. ``criteria`` are those beyond host, path and method, None where there are
    none; ``subjects`` whom ``Access.SUBJECTS`` admits, each for itself.
    """

    name: str
    position: int
    paths: tuple[PathPattern, ...]
    access: Access
    upstream: str
    hosts: tuple[HostPattern, ...] | None = None
    methods: frozenset[str] | None = None
    criteria: tuple[Criterion, ...] | None = None
    roles: frozenset[str] = frozenset()
    subjects: tuple[Subject, ...] = ()
    pass_authorization: bool = False
    upgrade: frozenset[str] = WEBSOCKET
    limit: Limit | None = None
    step_up: float | None = None
    mfa: bool = False
    mfa_roles: frozenset[str] = frozenset()
    effects: Effects | None = None
    report_only: bool = False
    line: int | None = None

    @property
    def public(self) -> bool:
        """Whether nobody needs to sign in."""
        return self.access is Access.ANYONE

    def takes_method(self, method: str) -> bool:
        """``methods`` holds HEAD wherever it holds GET."""
        return self.methods is None or method in self.methods

    def takes_host(self, host: str) -> bool:
        return self.hosts is None or any(pattern.matches(host) for pattern in self.hosts)

    def takes_path(self, segments: Sequence[str]) -> bool:
        return any(glob.matches(segments) for glob in self.paths)

    def matches(self, method: str, target: RequestTarget) -> bool:
        """Whether host, path and method are the rule's."""
        return self.takes_method(method) and self.takes_host(target.host) and self.takes_path(split_path(target.path))

    def judge(self, request: AccessRequest | None, country_of: CountryOf) -> Answer:
        """Whether the other criteria are met."""
        return Answer.YES if self.criteria is None else judge_all(self.criteria, request, country_of)

    def covers(self, other: Rule) -> bool:
        """Whether ``other``, coming later, can never decide. Sound, not complete."""
        if self.methods is not None and (other.methods is None or not other.methods <= self.methods):
            return False
        if self.hosts is not None:
            hosts = self.hosts
            if other.hosts is None or not all(any(mine.covers(host) for mine in hosts) for host in other.hosts):
                return False
        theirs = other.criteria or ()
        if not all(any(mine.covers(criterion) for criterion in theirs) for mine in self.criteria or ()):
            return False
        return all(any(mine.covers(glob) for mine in self.paths) for glob in other.paths)


@dataclass(frozen=True, slots=True)
class Step:
    """How one rule fared: for a miss, ``criterion`` is the first that failed and ``detail`` says why."""

    rule: Rule
    outcome: Outcome
    criterion: str | None = None
    detail: str = ""


def admits(rule: Rule, principal: Principal | None) -> Reason | None:
    """Why the rule refuses this principal (None: nobody is signed in), or None where it admits."""
    match rule.access:
        case Access.ANYONE:
            return None
        case Access.AUTHENTICATED:
            if principal is None:
                return Reason.CREDENTIALS_MISSING
            return None if principal.as_owner else Reason.RULE_DENIED
        case Access.ROLES:
            if principal is None:
                return Reason.CREDENTIALS_MISSING
            admitted = principal.as_owner and not rule.roles.isdisjoint(principal.roles)
            return None if admitted else Reason.RULE_DENIED
        case Access.SUBJECTS:
            return _fits(rule, principal)
        case Access.NOBODY:
            return Reason.RULE_DENIED
        case _:
            assert_never(rule.access)


def _fits(rule: Rule, principal: Principal | None) -> Reason | None:
    if principal is None:
        return Reason.CREDENTIALS_MISSING
    if any(subject.fits(principal) for subject in rule.subjects):
        return None
    if not principal.email_verified:
        verified = replace(principal, email_verified=True)
        if any(subject.fits(verified) for subject in rule.subjects):
            return Reason.EMAIL_UNVERIFIED
    return Reason.RULE_DENIED


def may_call(rule: Rule | None, headers: HeaderLines) -> bool:
    """Whether the rule lets pages of the origin that ``headers`` name act with the user's cookies (security 8)."""
    cors = rule.effects.cors if rule is not None and rule.effects is not None else None
    origins = headers.getall("Origin", ())
    return cors is not None and cors.credentials and len(origins) == 1 and cors.admits(origins[0])


def lacks(rule: Rule, principal: Principal, now: float) -> StepUp | None:
    """What an admitted principal's authentication lacks for this rule at ``now`` (Unix seconds); None: nothing.

    A login counts as step-up while it is young enough. Where two factors are asked for, the second one's use counts.
    """
    max_age = rule.step_up
    if max_age is None and not rule.mfa:
        return None
    two_factors = rule.mfa or not rule.mfa_roles.isdisjoint(principal.roles)
    reason = None
    if two_factors and principal.acr != "2fa":
        reason = Reason.MFA_REQUIRED
    elif max_age is not None and now - (principal.mfa_time if two_factors else principal.auth_time) > max_age:
        reason = Reason.STEP_UP_REQUIRED
    if reason is None:
        return None
    return StepUp(reason, None if max_age is None else int(max_age), "2fa" if two_factors else "1fa 2fa")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A rule as the index holds it; ``glob`` is None where the place in the tree says all."""

    position: int
    methods: frozenset[str] | None
    glob: PathPattern | None
    criteria: tuple[Criterion, ...] | None
    rule: Rule


@dataclass(slots=True)
class _Node:
    """A place in the tree of literal leading segments; both lists are in order of position."""

    children: dict[str, _Node] = field(default_factory=dict)
    here: list[_Entry] = field(default_factory=list)  # the path ends here
    below: list[_Entry] = field(default_factory=list)  # it may go on

    def add(self, rule: Rule, glob: PathPattern) -> None:
        literal = glob.literal_segments
        node = self
        for segment in literal:
            node = node.children.setdefault(segment, _Node())
        rest = glob.segments[len(literal) :]
        settled = isinstance(glob, Glob) and (not rest or rest == (ANY_DEPTH,))
        entry = _Entry(rule.position, rule.methods, None if settled else glob, rule.criteria, rule)
        (node.below if rest else node.here).append(entry)


class RuleBook:
    """All rules, indexed by host and by the literal beginning of their paths; immutable once built.

    ``country_of`` is asked by rules that name countries. A rule without criteria of its own costs nothing for those
    that have some. Rules that only report decide nothing here; ``trial`` is the book in which they would, None where
    there are none.
    """

    def __init__(
        self, rules: Iterable[Rule], country_of: CountryOf = lambda _address: None, *, on_trial: bool = False
    ) -> None:
        self.rules: tuple[Rule, ...] = tuple(sorted(rules, key=lambda rule: rule.position))
        self._country_of = country_of
        self._anywhere = _Node()
        self._exact: dict[str, _Node] = {}
        self._below: dict[str, _Node] = {}
        self.trial: RuleBook | None = None
        if not on_trial and any(rule.report_only for rule in self.rules):
            self.trial = RuleBook(self.rules, country_of, on_trial=True)
        for rule in self.rules:
            if rule.report_only and not on_trial:
                continue
            for root in self._roots(rule):
                for glob in rule.paths:
                    root.add(rule, glob)
        self._deepest = max((suffix.count(".") for suffix in self._below), default=0)
        self.has_cors = any(rule.effects is not None and rule.effects.cors is not None for rule in self.rules)
        self._bound = max((rule.position for rule in self.rules), default=0) + 1

    def _roots(self, rule: Rule) -> list[_Node]:
        if rule.hosts is None:
            return [self._anywhere]
        roots: list[_Node] = []
        for host in rule.hosts:
            shelf, key = (self._exact, host.text) if host.suffix is None else (self._below, host.suffix)
            roots.append(shelf.setdefault(key, _Node()))
        return roots

    def __len__(self) -> int:
        return len(self.rules)

    def find(self, method: str, target: RequestTarget, request: AccessRequest | None = None) -> Rule | None:
        """The first rule that matches, or None: then the request is refused.

        So it is where a rule's criteria cannot be judged: ``request`` says two things at once, or is not given.
        """
        segments = split_path(target.path)
        found: Rule | None = None
        bound = self._bound
        for root in self._trees(target.host):
            for entries in _walk(root, segments):
                entry = self._first(entries, method, segments, bound, request)
                if entry is not None:
                    found, bound = entry.rule, entry.position
        if found is None or found.criteria is None:
            return found
        return found if found.judge(request, self._country_of) is Answer.YES else None

    def tried(self, method: str, target: RequestTarget, request: AccessRequest) -> Rule | None:
        """The rule that would decide, did it not only report; None where the rules in force decide."""
        rule = None if self.trial is None else self.trial.find(method, target, request)
        return rule if rule is not None and rule.report_only else None

    def _first(
        self,
        entries: Sequence[_Entry],
        method: str,
        segments: Sequence[str],
        bound: int,
        request: AccessRequest | None,
    ) -> _Entry | None:
        for entry in entries:
            if entry.position >= bound:
                return None
            if (entry.methods is None or method in entry.methods) and (
                entry.glob is None or entry.glob.matches(segments)
            ):
                criteria = entry.criteria
                if criteria is None or judge_all(criteria, request, self._country_of):
                    return entry
        return None

    def _trees(self, host: str) -> Iterator[_Node]:
        yield self._anywhere
        exact = self._exact.get(host)
        if exact is not None:
            yield exact
        dot = len(host)
        for _ in range(self._deepest):  # .org, .example.org, ... as deep as a rule goes
            dot = host.rfind(".", 0, dot)
            if dot <= 0:
                return
            below = self._below.get(host[dot:])
            if below is not None:
                yield below

    def explain(
        self,
        method: str,
        target: RequestTarget,
        request: AccessRequest | None = None,
        *,
        country_of: CountryOf | None = None,
    ) -> list[Step]:
        """Every rule in order: which decides, and why each other does not."""
        country_of = country_of or self._country_of
        steps: list[Step] = []
        decided: Rule | None = None
        for rule in self.rules:
            step = _fared(rule, method, target, request, country_of)
            if step.outcome is Outcome.MISS:
                steps.append(step)
            elif rule.report_only and decided is None:
                steps.append(Step(rule, Outcome.REPORTS))
            elif decided is None:
                decided = rule
                steps.append(step)
            else:
                steps.append(Step(rule, Outcome.TOO_LATE, "order", f"rule {decided.name} comes first"))
        return steps


def _walk(root: _Node, segments: Sequence[str]) -> Iterator[list[_Entry]]:
    node: _Node | None = root
    for segment in segments:
        if node is None:
            return
        if node.below:
            yield node.below
        node = node.children.get(segment)
    if node is not None:
        yield node.below
        yield node.here


def _fared(
    rule: Rule, method: str, target: RequestTarget, request: AccessRequest | None, country_of: CountryOf
) -> Step:
    """The rule by itself."""
    missed = _miss(rule, method, target, split_path(target.path))
    if missed is not None:
        return missed
    unclear: Step | None = None
    for criterion in rule.criteria or ():
        answer = Answer.UNCLEAR if request is None else criterion.judge(request, country_of)
        if answer is Answer.YES:
            continue
        detail = "nobody can tell" if request is None else criterion.miss(request, country_of)
        if answer is Answer.NO:
            return Step(rule, Outcome.MISS, criterion.key, detail)
        unclear = unclear or Step(rule, Outcome.UNCLEAR, criterion.key, detail)
    return unclear or Step(rule, Outcome.DECIDES)


def _miss(rule: Rule, method: str, target: RequestTarget, segments: Sequence[str]) -> Step | None:
    if rule.hosts is not None and not rule.takes_host(target.host):
        wanted = ", ".join(host.text for host in rule.hosts)
        return Step(rule, Outcome.MISS, "host", f"{target.host} is not {wanted}")
    if not rule.takes_path(segments):
        return Step(rule, Outcome.MISS, "path", f"{target.path} is not {', '.join(glob.text for glob in rule.paths)}")
    if not rule.takes_method(method):
        return Step(rule, Outcome.MISS, "methods", f"{method} is not {', '.join(sorted(rule.methods or ()))}")
    return None
