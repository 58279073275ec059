"""What a rule asks for and whom it admits, from words to ``policies.criteria`` and ``policies.subjects``.

Called by ``policies.load``. Each mistake goes to ``fault`` with the key it stands at, and reading goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from policies.countries import CODES, UNKNOWN
from policies.criteria import Countries, Criterion, Header, Networks, Query, Timing
from policies.fields import canonical_field, check_name
from policies.globs import Glob, parse_glob
from policies.hosts import HostPattern, parse_host
from policies.patterns import REGEX, PathRegex, parse_regex, parse_value
from policies.rules import Access, PathPattern
from policies.schedule import EVERY_DAY, Schedule, parse_days, parse_hours, parse_zone
from policies.sources import RuleSource, ScheduleSource, SubjectSource
from policies.subjects import CLAIMS, Subject

Fault = Callable[[str, str], None]
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WORDS: Final = (Access.ANYONE, Access.AUTHENTICATED, Access.NOBODY)
_WHOLE_DAY: Final = ((0, 24 * 60),)
_MAPPED: Final = "::ffff:"
_Parsed = TypeVar("_Parsed")


def read_paths(source: RuleSource, prefix: str, fault: Fault) -> tuple[PathPattern, ...]:
    """Globs and regular expressions; none is under ``prefix``."""
    reserved = tuple(prefix.strip("/").split("/"))
    patterns: list[PathPattern] = []
    for text in source.path:
        pattern = tried(text, _path, "path", fault)
        if pattern is None:
            continue
        if pattern.literal_segments[: len(reserved)] == reserved:
            fault("path", f"{text!r} is under {prefix}, which the gate answers itself")
        patterns.append(pattern)
    if not source.path:
        fault("path", "an empty list never matches; leave the key out for every path")
    return tuple(patterns)


def _path(text: str) -> Glob | PathRegex:
    return parse_regex(text) if text.startswith(REGEX) else parse_glob(text)


def read_hosts(source: RuleSource, fault: Fault) -> tuple[HostPattern, ...] | None:
    """The hosts, or None for any."""
    if source.host is None:
        return None
    if not source.host:
        fault("host", "an empty list never matches; leave the key out for any host")
    found = (tried(text, parse_host, "host", fault) for text in source.host)
    return tuple(host for host in found if host is not None)


def read_methods(source: RuleSource, fault: Fault) -> frozenset[str] | None:
    """The methods, or None for any; HEAD follows GET."""
    if source.methods is None:
        return None
    if not source.methods:
        fault("methods", "an empty list never matches; leave the key out for any method")
    for method in source.methods:
        if method not in METHODS:
            known = f"write {method.upper()}" if method.upper() in METHODS else f"known are {', '.join(METHODS)}"
            fault("methods", f"unknown method {method!r}; {known}")
    methods = frozenset(source.methods)
    return methods | {"HEAD"} if "GET" in methods else methods


def read_criteria(source: RuleSource, fault: Fault) -> tuple[Criterion, ...] | None:
    """Everything else that is asked, the cheapest first; None where nothing is."""
    found: list[Criterion] = [
        *_networks(source, fault),
        *_schedule(source.schedule, fault),
        *_query(source.query or {}, fault),
        *_headers(source.headers or {}, fault),
        *_countries(source, fault),
    ]
    return tuple(found) or None


def _networks(source: RuleSource, fault: Fault) -> Iterator[Networks]:
    if source.networks is None:
        return
    if not source.networks:
        fault("networks", "an empty list never matches; leave the key out for every address")
    for network in source.networks:
        if network.version == 6 and str(network).startswith(_MAPPED):
            fault("networks", f"{network} is one of IPv4: write it as such")
    yield Networks(tuple(source.networks))


def _countries(source: RuleSource, fault: Fault) -> Iterator[Countries]:
    if source.countries is None:
        return
    if not source.countries:
        fault("countries", "an empty list never matches; leave the key out for every country")
    for code in source.countries:
        if code not in CODES and code != UNKNOWN:
            known = f"; write {code.upper()}" if code.upper() in CODES else ""
            fault("countries", f"{code!r} is no country of ISO 3166-1 such as CH, nor {UNKNOWN}{known}")
    yield Countries(frozenset(source.countries))


def _query(wanted: Mapping[str, str | bool], fault: Fault) -> Iterator[Query]:
    for name, value in wanted.items():
        if not name:
            fault("query", "a parameter has a name")
        yield Query(name, parse_value(value))


def _headers(wanted: Mapping[str, str | bool], fault: Fault) -> Iterator[Header]:
    seen: set[str] = set()
    for name, value in wanted.items():
        tried(name, check_name, "headers", fault)
        if canonical_field(name) in seen:
            fault("headers", f"{name} stands here twice")
        seen.add(canonical_field(name))
        yield Header(name, parse_value(value))


def _schedule(source: ScheduleSource | None, fault: Fault) -> Iterator[Timing]:
    if source is None:
        return
    days = EVERY_DAY if source.days is None else tried(source.days, parse_days, "schedule", fault)
    spans = _WHOLE_DAY if source.hours is None else tried(source.hours, parse_hours, "schedule", fault)
    zone = tried(source.zone, parse_zone, "schedule", fault)
    if source.days is None and source.hours is None:
        fault("schedule", "says neither days nor hours")
    elif source.days == [] or source.hours == []:
        fault("schedule", "an empty list never matches; leave the key out for all")
    if days and spans and zone is not None:
        yield Timing(Schedule(days, spans, zone))


def read_access(source: RuleSource, fault: Fault) -> tuple[Access, frozenset[str], tuple[Subject, ...]]:
    """Whom the rule admits: the word, or roles, or subjects."""
    allow = source.allow
    if isinstance(allow, str):
        if allow not in _WORDS:
            words = ", ".join(_WORDS)
            fault("allow", f"unknown word {allow!r}; write one of {words} or {{roles: [...]}}")
            return Access.NOBODY, frozenset(), ()
        return Access(allow), frozenset(), ()
    choices: Sequence[SubjectSource] = allow if isinstance(allow, list) else [allow]  # type: ignore[list-item]
    if not choices:
        fault("allow", "an empty list admits nobody; say so: allow: nobody")
    subjects = tuple(_subject(choice, fault) for choice in choices)
    if len(subjects) == 1 and subjects[0] == Subject(roles=subjects[0].roles):
        return Access.ROLES, subjects[0].roles, ()
    return Access.SUBJECTS, frozenset(), subjects


def _subject(choice: SubjectSource, fault: Fault) -> Subject:
    domains = (tried(text, parse_host, "allow", fault) for text in choice.domains or ())
    claims = choice.claims or {}
    for name in claims:
        if name not in CLAIMS:
            fault("allow", f"the gate's tokens have no claim {name!r} to ask for; known are {', '.join(CLAIMS)}")
    return Subject(
        frozenset(choice.roles or ()),
        frozenset(choice.users or ()),
        tuple(domain for domain in domains if domain is not None),
        tuple((name, frozenset(values)) for name, values in claims.items()),
        frozenset(choice.scopes or ()),
    )


_Given = TypeVar("_Given")


def tried(value: _Given, parse: Callable[[_Given], _Parsed], key: str, fault: Fault) -> _Parsed | None:
    """What ``parse`` makes of a value; None where it raises ValueError, which is noted."""
    try:
        return parse(value)
    except ValueError as problem:
        said = str(problem)
        fault(key, said if not isinstance(value, str) or (value and value in said) else f"{value!r}: {said}")
        return None
