"""Rules: the first that matches a request decides. ``RuleBook.find`` is called by ``gatekeeper.gate`` on every
request and ``explain`` by ``gatekeeper explain``; ``policies.load`` builds the book from a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never

from policies.globs import ANY_DEPTH, Glob, split_path
from policies.model import Principal, Reason, RequestTarget, StepUp
from policies.rates import Limit

WEBSOCKET: Final = frozenset({"websocket"})


class Access(StrEnum):
    """Whom a rule admits."""

    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    ROLES = "roles"


class Outcome(StrEnum):
    """What became of a rule for one request."""

    DECIDES = "decides"
    TOO_LATE = "too-late"  # would match, but an earlier rule decides
    MISS = "miss"


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host of a rule: exact, or every name below ``suffix`` (which begins with a dot)."""

    text: str
    suffix: str | None = None

    def matches(self, host: str) -> bool:
        return host == self.text if self.suffix is None else host.endswith(self.suffix) and host != self.suffix

    def covers(self, other: HostPattern) -> bool:
        """Whether every host that ``other`` matches is matched here too."""
        if self.suffix is None:
            return self == other
        return other.suffix.endswith(self.suffix) if other.suffix is not None else self.matches(other.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. ``hosts`` and ``methods`` are None where any will do; ``line`` is that of the file.

    ``upgrade`` holds the protocols, in lower case, to which a request may switch (RFC 9110 7.8). ``step_up`` is how
    old an authentication may be, in seconds; it must be by two factors where ``mfa`` says so and, under ``step_up``,
    for whoever has one of ``mfa_roles``.
    """

    name: str
    position: int
    paths: tuple[Glob, ...]
    access: Access
    upstream: str
    hosts: tuple[HostPattern, ...] | None = None
    methods: frozenset[str] | None = None
    roles: frozenset[str] = frozenset()
    pass_authorization: bool = False
    upgrade: frozenset[str] = WEBSOCKET
    limit: Limit | None = None
    step_up: float | None = None
    mfa: bool = False
    mfa_roles: frozenset[str] = frozenset()
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
        """Whether the rule decides about such a request, if no earlier one does."""
        return self.takes_method(method) and self.takes_host(target.host) and self.takes_path(split_path(target.path))

    def covers(self, other: Rule) -> bool:
        """Whether ``other``, coming later, can never decide. Sound, not complete."""
        if self.methods is not None and (other.methods is None or not other.methods <= self.methods):
            return False
        if self.hosts is not None:
            hosts = self.hosts
            if other.hosts is None or not all(any(mine.covers(host) for mine in hosts) for host in other.hosts):
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
            return Reason.CREDENTIALS_MISSING if principal is None else None
        case Access.ROLES:
            if principal is None:
                return Reason.CREDENTIALS_MISSING
            return Reason.RULE_DENIED if rule.roles.isdisjoint(principal.roles) else None
        case _:
            assert_never(rule.access)


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
    glob: Glob | None
    rule: Rule


@dataclass(slots=True)
class _Node:
    """A place in the tree of literal leading segments; both lists are in order of position."""

    children: dict[str, _Node] = field(default_factory=dict)
    here: list[_Entry] = field(default_factory=list)  # the path ends here
    below: list[_Entry] = field(default_factory=list)  # it may go on

    def add(self, rule: Rule, glob: Glob) -> None:
        literal = glob.literal_segments
        node = self
        for segment in literal:
            node = node.children.setdefault(segment, _Node())
        rest = glob.segments[len(literal) :]
        settled = not rest or rest == (ANY_DEPTH,)
        entry = _Entry(rule.position, rule.methods, None if settled else glob, rule)
        (node.below if rest else node.here).append(entry)


class RuleBook:
    """All rules, indexed by host and by the literal beginning of their paths; immutable once built."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: tuple[Rule, ...] = tuple(sorted(rules, key=lambda rule: rule.position))
        self._anywhere = _Node()
        self._exact: dict[str, _Node] = {}
        self._below: dict[str, _Node] = {}
        for rule in self.rules:
            for root in self._roots(rule):
                for glob in rule.paths:
                    root.add(rule, glob)
        self._deepest = max((suffix.count(".") for suffix in self._below), default=0)

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

    def find(self, method: str, target: RequestTarget) -> Rule | None:
        """The first rule that matches, or None: then the request is refused."""
        segments = split_path(target.path)
        found: Rule | None = None
        bound = len(self.rules)
        for root in self._trees(target.host):
            for entries in _walk(root, segments):
                entry = _first(entries, method, segments, bound)
                if entry is not None:
                    found, bound = entry.rule, entry.position
        return found

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

    def explain(self, method: str, target: RequestTarget) -> list[Step]:
        """Every rule in order: which decides, and why each other does not."""
        segments = split_path(target.path)
        steps: list[Step] = []
        decided: Rule | None = None
        for rule in self.rules:
            missed = _miss(rule, method, target, segments)
            if missed is not None:
                steps.append(missed)
            elif decided is None:
                decided = rule
                steps.append(Step(rule, Outcome.DECIDES))
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


def _first(entries: Sequence[_Entry], method: str, segments: Sequence[str], bound: int) -> _Entry | None:
    for entry in entries:
        if entry.position >= bound:
            return None
        if (entry.methods is None or method in entry.methods) and (entry.glob is None or entry.glob.matches(segments)):
            return entry
    return None


def _miss(rule: Rule, method: str, target: RequestTarget, segments: Sequence[str]) -> Step | None:
    if rule.hosts is not None and not rule.takes_host(target.host):
        wanted = ", ".join(host.text for host in rule.hosts)
        return Step(rule, Outcome.MISS, "host", f"{target.host} is not {wanted}")
    if not rule.takes_path(segments):
        return Step(rule, Outcome.MISS, "path", f"{target.path} is not {', '.join(glob.text for glob in rule.paths)}")
    if not rule.takes_method(method):
        return Step(rule, Outcome.MISS, "methods", f"{method} is not {', '.join(sorted(rule.methods or ()))}")
    return None
