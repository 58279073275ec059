"""From the rules of a configuration to a ``RuleBook``, with every mistake at once.

Called by ``gatekeeper.config.load`` (which adds file and line to each mistake) and by ``gatekeeper.app``.
Knows the configuration's classes only by the Protocols below.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Protocol

from policies.globs import Glob, parse_glob
from policies.rates import Limit, LimitBy
from policies.rules import WEBSOCKET, Access, HostPattern, Rule, RuleBook

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PROTOCOL: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NOT_FOLLOWED: Final = frozenset({"h2c", "h2"})  # a second HTTP inside the first, whose requests nobody would judge
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class Subjects(Protocol):
    """Who is admitted, where it is not a single word."""

    @property
    def roles(self) -> Sequence[str]: ...


class Rated(Protocol):
    """A rate as the ``limits`` library reads it."""

    amount: int

    def get_expiry(self) -> int: ...


class LimitSource(Protocol):
    """How often a rule may be used."""

    @property
    def rate(self) -> Rated: ...
    @property
    def by(self) -> str: ...


class RuleSource(Protocol):
    """A rule as the configuration gives it."""

    @property
    def name(self) -> str: ...
    @property
    def host(self) -> Sequence[str] | None: ...
    @property
    def path(self) -> Sequence[str]: ...
    @property
    def methods(self) -> Sequence[str] | None: ...
    @property
    def allow(self) -> str | Subjects: ...
    @property
    def upstream(self) -> str | None: ...
    @property
    def pass_authorization(self) -> bool: ...
    @property
    def upgrade(self) -> Sequence[str] | None: ...
    @property
    def limit(self) -> LimitSource | None: ...
    @property
    def step_up(self) -> float | None: ...
    @property
    def mfa(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One mistake: ``position`` counts the rules from 0, ``key`` is the rule's key at fault."""

    position: int
    key: str
    message: str


class BadRules(Exception):
    """Every mistake of the rules at once."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        super().__init__("\n".join(f"rules[{fault.position}].{fault.key}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


def compile_rules(
    rules: Sequence[RuleSource],
    upstreams: Collection[str],
    *,
    prefix: str = "/_gate",
    lines: Sequence[int | None] = (),
    mfa_roles: Collection[str] = (),
) -> RuleBook:
    """The book of these rules. Raises ``BadRules``.

    ``lines`` are the file's lines of each rule, where known; ``mfa_roles`` the roles whose step-up takes two factors.
    """
    faults: list[RuleFault] = []
    compiled: list[Rule] = []
    for position, source in enumerate(rules):
        line = lines[position] if position < len(lines) else None
        rule = _Compiler(source, position, faults).compile(upstreams, prefix, line, frozenset(mfa_roles))
        if rule is not None:
            compiled.append(rule)
    faults.extend(_doubled_names(rules))
    faults.extend(_unreachable(compiled))
    if faults:
        raise BadRules(sorted(faults, key=lambda fault: fault.position))
    return RuleBook(compiled)


class _Compiler:
    """One rule on its way from words to a ``Rule``."""

    def __init__(self, source: RuleSource, position: int, faults: list[RuleFault]) -> None:
        self._source = source
        self._position = position
        self._faults = faults

    def _fault(self, key: str, message: str) -> None:
        self._faults.append(RuleFault(self._position, key, message))

    def compile(
        self, upstreams: Collection[str], prefix: str, line: int | None, mfa_roles: frozenset[str]
    ) -> Rule | None:
        before = len(self._faults)
        source = self._source
        paths, hosts, methods = self._paths(prefix), self._hosts(), self._methods()
        access, roles = self._access()
        upstream, limit, upgrade = self._upstream(upstreams), self._limit(access), self._upgrade()
        self._check_factors(access)
        if len(self._faults) > before:
            return None
        return Rule(
            name=source.name,
            position=self._position,
            paths=paths,
            access=access,
            upstream=upstream,
            hosts=hosts,
            methods=methods,
            roles=roles,
            pass_authorization=source.pass_authorization,
            upgrade=upgrade,
            limit=limit,
            step_up=source.step_up,
            mfa=source.mfa,
            mfa_roles=mfa_roles,
            line=line,
        )

    def _check_factors(self, access: Access) -> None:
        if access is Access.ANYONE:
            for key, given in (("step_up", self._source.step_up is not None), ("mfa", self._source.mfa)):
                if given:
                    self._fault(key, "means nothing where anyone is allowed; write allow: authenticated")

    def _upgrade(self) -> frozenset[str]:
        if self._source.upgrade is None:
            return WEBSOCKET
        protocols = frozenset(protocol.lower() for protocol in self._source.upgrade)
        for protocol in sorted(protocols):
            if protocol in _NOT_FOLLOWED:
                self._fault("upgrade", f"{protocol} would carry requests past every rule")
            elif not _PROTOCOL.fullmatch(protocol):
                self._fault("upgrade", f"{protocol!r} is no name of a protocol, such as websocket")
        return protocols

    def _paths(self, prefix: str) -> tuple[Glob, ...]:
        reserved = tuple(prefix.strip("/").split("/"))
        globs: list[Glob] = []
        for text in self._source.path:
            try:
                glob = parse_glob(text)
            except ValueError as fault:
                self._fault("path", f"{text!r}: {fault}")
                continue
            if glob.segments[: len(reserved)] == reserved:
                self._fault("path", f"{text!r} is under {prefix}, which the gate answers itself")
            globs.append(glob)
        if not self._source.path:
            self._fault("path", "an empty list never matches; leave the key out for every path")
        return tuple(globs)

    def _hosts(self) -> tuple[HostPattern, ...] | None:
        if self._source.host is None:
            return None
        if not self._source.host:
            self._fault("host", "an empty list never matches; leave the key out for any host")
        patterns: list[HostPattern] = []
        for text in self._source.host:
            try:
                patterns.append(parse_host(text))
            except ValueError as fault:
                self._fault("host", f"{text!r}: {fault}")
        return tuple(patterns)

    def _methods(self) -> frozenset[str] | None:
        if self._source.methods is None:
            return None
        if not self._source.methods:
            self._fault("methods", "an empty list never matches; leave the key out for any method")
        for method in self._source.methods:
            if method not in METHODS:
                known = f"write {method.upper()}" if method.upper() in METHODS else f"known are {', '.join(METHODS)}"
                self._fault("methods", f"unknown method {method!r}; {known}")
        methods = frozenset(self._source.methods)
        return methods | {"HEAD"} if "GET" in methods else methods

    def _access(self) -> tuple[Access, frozenset[str]]:
        allow = self._source.allow
        if not isinstance(allow, str):
            return Access.ROLES, frozenset(allow.roles)
        if allow not in {Access.ANYONE, Access.AUTHENTICATED}:
            self._fault("allow", f"unknown word {allow!r}; write anyone, authenticated or {{roles: [...]}}")
        return (Access.ANYONE if allow == Access.ANYONE else Access.AUTHENTICATED), frozenset()

    def _limit(self, access: Access) -> Limit | None:
        source = self._source.limit
        if source is None:
            return None
        by = LimitBy(source.by)
        if access is Access.ANYONE and by is not LimitBy.ADDRESS:
            self._fault("limit", f"by: {by} means nothing where anyone is allowed; write by: address")
        return Limit(self._source.name, source.rate.amount, source.rate.get_expiry(), by)

    def _upstream(self, upstreams: Collection[str]) -> str:
        name, known = self._source.upstream, ", ".join(sorted(upstreams)) or "none"
        if name is None:
            if len(upstreams) == 1:
                return next(iter(upstreams))
            self._fault("upstream", f"which of several upstreams? Name one of: {known}")
        elif name not in upstreams:
            self._fault("upstream", f"there is no upstream {name!r}; known: {known}")
        return name or ""


def parse_host(text: str) -> HostPattern:
    """A host of a rule, ``*.`` in front for every name below. Raises ValueError in words for an operator."""
    if text != text.lower():
        raise ValueError(f"write it in lower case: {text.lower()}")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    with contextlib.suppress(ValueError):
        return HostPattern(str(IPv6Address(text)))  # the one spelling that request targets have (RFC 5952)
    if ":" in text:
        raise ValueError("a rule's host has no scheme and no port; every port that the gate serves is meant")
    if "*" in text.removeprefix("*."):
        raise ValueError("* may only stand for whole leading labels, as in *.example.org")
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError("a host such as app.example.org or *.example.org is needed (IDNA names as xn--...)")
    return HostPattern(text, text[1:]) if text.startswith("*.") else HostPattern(text)


def _doubled_names(rules: Sequence[RuleSource]) -> Iterator[RuleFault]:
    seen: dict[str, int] = {}
    for position, rule in enumerate(rules):
        first = seen.setdefault(rule.name, position)
        if first != position:
            yield RuleFault(position, "name", f"rules[{first}] is named {rule.name!r} already")


def _unreachable(rules: Sequence[Rule]) -> Iterator[RuleFault]:
    """Rules that an earlier one shadows as a whole. Only rules whose paths begin alike are compared."""
    by_beginning: dict[str, list[Rule]] = {}
    for rule in rules:
        beginnings = {_beginning(glob) for glob in rule.paths}
        candidates = {
            earlier.position: earlier for first in (*beginnings, "*") for earlier in by_beginning.get(first, ())
        }
        shadow = next((candidates[at] for at in sorted(candidates) if candidates[at].covers(rule)), None)
        if shadow is not None:
            where = f" (line {shadow.line})" if shadow.line else ""
            message = f"never decides: rule {shadow.name!r}{where} comes first and matches all that this one does"
            yield RuleFault(rule.position, "path", message)
        for first in beginnings:
            by_beginning.setdefault(first, []).append(rule)


def _beginning(glob: Glob) -> str:
    return "*" if "*" in glob.segments[0] else glob.segments[0]
