"""A compiled rule in words: what it matches, whom it admits, what more it asks and does. Used by ``admin.rule_table``.

Values of header fields that a rule sets may be secrets, so only their names are said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from gatekeeper.config.types import say_duration, say_size
from gatekeeper.explain import admitted
from policies.effects import Effects, FieldChanges
from policies.rates import Limit, LimitBy
from policies.rules import WEBSOCKET, Rule

_BY = {LimitBy.RULE: "for everybody together", LimitBy.KEY: "by API key"}


@dataclass(frozen=True, slots=True)
class Words:
    """One property of a rule: its key in the configuration, and what it says."""

    key: str
    text: str


def matching(rule: Rule) -> list[Words]:
    """All of what a request must be for the rule to decide."""
    found = [] if rule.hosts is None else [Words("host", ", ".join(host.text for host in rule.hosts))]
    found.append(Words("path", ", ".join(path.text for path in rule.paths)))
    if rule.methods is not None:
        found.append(Words("methods", ", ".join(sorted(rule.methods - _implied(rule.methods)))))
    return found + [Words(criterion.key, str(criterion)) for criterion in rule.criteria or ()]


def asking(rule: Rule) -> list[Words]:
    """Whom it admits, and what it asks of them."""
    found = [Words("allow", admitted(rule))]
    if rule.mfa:
        found.append(Words("mfa", "two factors"))
    if rule.step_up is not None:
        found.append(Words("step_up", f"a login or step-up at most {say_duration(rule.step_up)} old"))
    if rule.limit is not None:
        found.append(Words("limit", limiting(rule.limit)))
    return found


def doing(rule: Rule) -> list[Words]:
    """What becomes of a request that is let through."""
    found = [Words("upstream", rule.upstream)] if rule.upstream else []
    if rule.pass_authorization:
        found.append(Words("pass_authorization", "Authorization goes to the upstream"))
    if rule.upgrade != WEBSOCKET:
        found.append(Words("upgrade", ", ".join(sorted(rule.upgrade)) or "to nothing"))
    return [*found, *(() if rule.effects is None else _effects(rule.effects))]


def limiting(limit: Limit) -> str:
    """A limit: ``600 in 1m by user``."""
    windows = ", ".join(f"{amount} in {say_duration(window)}" for amount, window in limit.windows)
    by = f"by {limit.by} {limit.header}" if limit.header else _BY.get(limit.by, f"by {limit.by}")
    return f"{windows} {by}{', only reported' if limit.report_only else ''}"


def _implied(methods: frozenset[str]) -> frozenset[str]:
    return frozenset({"HEAD"}) if "GET" in methods else frozenset()


def _effects(effects: Effects) -> Iterator[Words]:
    if (rewrite := effects.rewrite) is not None:
        yield Words("rewrite", f"{rewrite.strip or '/'} becomes {rewrite.add or '/'}")
    for key, changes in (("request_headers", effects.request), ("response_headers", effects.response)):
        if changes is not None:
            yield Words(key, _changes(changes))
    if effects.lacking:
        yield Words("secure_headers", ", ".join(name.decode() for name, _ in effects.lacking))
    if effects.cors is not None:
        yield Words("cors", _origins(effects))
    if effects.timeout is not None:
        yield Words("timeout", say_duration(effects.timeout))
    if effects.body is not None:
        yield Words("body", f"at most {say_size(effects.body)}")


def _changes(changes: FieldChanges) -> str:
    put = {name.decode() for name, _ in changes.put}
    removed = {name.decode() for name in changes.removed} - {name.lower() for name in put}
    said = [("sets", put), ("removes", removed)]
    return ", ".join(f"{word} {', '.join(sorted(names))}" for word, names in said if names)


def _origins(effects: Effects) -> str:
    cors = effects.cors
    if cors is None or cors.every:
        return "every origin, without cookies"
    origins = sorted(chain(cors.origins, (f"{wide.scheme}://*{wide.suffix}" for wide in cors.below)))
    return f"{', '.join(origins)}{', as the user' if cors.credentials else ''}"
