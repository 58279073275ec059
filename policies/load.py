"""From the rules of a configuration to a ``RuleBook``, with every mistake at once.

Called by ``gatekeeper.config.load`` (which adds file and line to each mistake) and by ``gatekeeper.app``.
Knows the configuration's classes only by the Protocols below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

from policies.criteria import CountryOf
from policies.fields import check_token
from policies.rates import Limit, LimitBy
from policies.read import read_access, read_criteria, read_hosts, read_methods, read_paths, tried
from policies.read_effects import read_effects
from policies.rules import WEBSOCKET, Access, Rule, RuleBook
from policies.shadows import unreachable
from policies.sources import LimitSource, RuleFault, RuleSource
from policies.subjects import Subject

MOST_RULES: Final = 100_000

_PROTOCOL: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NOT_FOLLOWED: Final = frozenset({"h2c", "h2"})  # a second HTTP inside the first, whose requests nobody would judge


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
    country_of: CountryOf = lambda _address: None,
    https: bool = False,
) -> RuleBook:
    """The book of these rules. Raises ``BadRules``.

    ``lines`` are the file's lines of each rule, where known; ``mfa_roles`` the roles whose step-up takes two factors;
    ``country_of`` says where an address is, ``https`` whether clients come by it.
    """
    if len(rules) >= MOST_RULES:
        raise BadRules([RuleFault(MOST_RULES - 1, "name", f"there may be fewer than {MOST_RULES} rules")])
    faults: list[RuleFault] = []
    compiled: list[Rule] = []
    for position, source in enumerate(rules):
        line = lines[position] if position < len(lines) else None
        rule = _Compiler(source, position, faults).compile(upstreams, prefix, line, frozenset(mfa_roles), https=https)
        if rule is not None:
            compiled.append(rule)
    faults.extend(_doubled_names(rules))
    faults.extend(unreachable(compiled))
    if faults:
        raise BadRules(sorted(faults, key=lambda fault: fault.position))
    return RuleBook(compiled, country_of)


class _Compiler:
    """One rule on its way from words to a ``Rule``."""

    def __init__(self, source: RuleSource, position: int, faults: list[RuleFault]) -> None:
        self._source = source
        self._position = position
        self._faults = faults

    def _fault(self, key: str, message: str) -> None:
        self._faults.append(RuleFault(self._position, key, message))

    def compile(
        self, upstreams: Collection[str], prefix: str, line: int | None, mfa_roles: frozenset[str], *, https: bool
    ) -> Rule | None:
        before = len(self._faults)
        source = self._source
        paths, hosts = read_paths(source, prefix, self._fault), read_hosts(source, self._fault)
        methods, criteria = read_methods(source, self._fault), read_criteria(source, self._fault)
        access, roles, subjects = read_access(source, self._fault)
        upstream = self._upstream(upstreams, access)
        limit, upgrade = self._limit(access), self._upgrade()
        effects = read_effects(source, paths, access, self._fault, https=https)
        self._check_factors(access, subjects)
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
            criteria=criteria,
            roles=roles,
            subjects=subjects,
            pass_authorization=source.pass_authorization,
            upgrade=upgrade,
            limit=limit,
            step_up=source.step_up,
            mfa=source.mfa,
            mfa_roles=mfa_roles,
            effects=effects,
            report_only=source.report_only,
            line=line,
        )

    def _check_factors(self, access: Access, subjects: Sequence[Subject]) -> None:
        only_keys = bool(subjects) and all(subject.scopes for subject in subjects)
        for key, given in (("step_up", self._source.step_up is not None), ("mfa", self._source.mfa)):
            if given and access in {Access.ANYONE, Access.NOBODY}:
                self._fault(key, f"means nothing where {access} is allowed; write allow: authenticated")
            elif given and only_keys:
                self._fault(key, "is more than an API key can show, so nobody would be admitted")

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

    def _limit(self, access: Access) -> Limit | None:
        source = self._source.limit
        if source is None:
            return None
        limit = tried(source, partial(compile_limit, self._source.name), "limit", self._fault)
        if limit is not None and access is Access.ANYONE and limit.by in {LimitBy.USER, LimitBy.SESSION}:
            self._fault("limit", f"by: {limit.by} means nothing where anyone is allowed; write by: address")
        return limit

    def _upstream(self, upstreams: Collection[str], access: Access) -> str:
        name, known = self._source.upstream, ", ".join(sorted(upstreams)) or "none"
        if access is Access.NOBODY and name is None:
            return ""  # nothing is ever forwarded
        if name is None:
            if len(upstreams) == 1:
                return next(iter(upstreams))
            self._fault("upstream", f"which of several upstreams? Name one of: {known}")
        elif name not in upstreams:
            self._fault("upstream", f"there is no upstream {name!r}; known: {known}")
        return name or ""


def compile_limit(name: str, source: LimitSource) -> Limit:
    """A limit of this name. Raises ValueError, in words for an operator."""
    by, _, header = source.by.partition(":")
    if header:
        check_token(header)
    windows = sorted((rate.get_expiry(), rate.amount) for rate in source.rate)
    for (short, few), (long, many) in pairwise(windows):
        if short == long:
            raise ValueError(f"two rates for the same {short} s")
        if many <= few:
            raise ValueError(f"{few} in {short} s are never reached beside {many} in {long} s")
    (window, amount), *more = windows
    further = tuple((many, long) for long, many in more)
    return Limit(name, amount, window, LimitBy(by), further, header or None, source.report_only)


def _doubled_names(rules: Sequence[RuleSource]) -> Iterator[RuleFault]:
    seen: dict[str, int] = {}
    for position, rule in enumerate(rules):
        first = seen.setdefault(rule.name, position)
        if first != position:
            yield RuleFault(position, "name", f"rules[{first}] is named {rule.name!r} already")
