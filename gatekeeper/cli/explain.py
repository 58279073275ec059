"""``gatekeeper explain``: which rule decides about a request, and why each other does not.

Asks the very code that the gate asks (``canonical_target``, ``HostList``, ``RuleBook``), and of the stores only the
bans: whoever the caller is said to be is believed, with the roles given.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from math import inf
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDict

from gatekeeper.answers import STATUS
from gatekeeper.app.places import open_places
from gatekeeper.cli import arguments
from gatekeeper.cli.explain_bans import Suspect, bans_on
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.types import parse_duration, say_duration
from gatekeeper.doors import networks
from gatekeeper.errors import StartupError
from gatekeeper.inbound import HostList, TrustedProxies, canonical_target
from geo.lookup import PlaceFinder
from policies.countries import CODES
from policies.criteria import CountryOf
from policies.model import Address, Principal, Reason, RequestTarget, StepUp
from policies.read import METHODS
from policies.rules import Access, Outcome, Rule, Step, admits, lacks

_ABSOLUTE: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]+)(?P<rest>[/?].*)?", re.DOTALL)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = "Which rule decides about a request, and why each other does not. Exit 0 allowed, 1 denied, 2 wrong use."
    parser = subparsers.add_parser("explain", help="which rule decides about a request", description=summary)
    parser.add_argument("method", metavar="METHOD", type=_method, help="such as GET")
    parser.add_argument("url", metavar="URL", type=_url, help="a whole address, or a path at public_url")
    parser.add_argument(
        "--user", metavar="U", help="signed in as this e-mail, which is verified (default: nobody is signed in)"
    )
    parser.add_argument(
        "--role", metavar="R", action="append", default=[], help="signed in with this role; may be given again"
    )
    parser.add_argument(
        "--ip", metavar="A", type=arguments.address, help="the address that the request comes from (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--country", metavar="C", type=_country, help="its country, such as CH (default: what geo.database says)"
    )
    parser.add_argument(
        "--header",
        metavar="'N: V'",
        type=arguments.header,
        action="append",
        default=[],
        help="a field; may be given again",
    )
    parser.add_argument(
        "--at", metavar="TIME", type=_time, help="when it comes, such as 2026-03-01T22:30+01:00 (default: now)"
    )
    parser.add_argument(
        "--mfa-age", metavar="D", type=_age, help="two factors were used that long ago, such as 5m (default: never)"
    )
    parser.add_argument(
        "--auth-age", metavar="D", type=_age, help="the login was that long ago (default: --mfa-age; else too long ago)"
    )
    parser.add_argument("--verbose", action="store_true", help="also how the request and its caller are understood")
    parser.set_defaults(run=run)


def _method(text: str) -> str:
    if text not in METHODS:
        hint = f"write {text.upper()}" if text.upper() in METHODS else f"the gate takes {', '.join(METHODS)}"
        raise argparse.ArgumentTypeError(f"unknown method {text!r}: {hint}")
    return text


def _url(text: str) -> str:
    if not text.startswith("/") and _ABSOLUTE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither http(s)://host/path nor /path")
    return text


def _country(text: str) -> str:
    if text not in CODES:
        raise argparse.ArgumentTypeError(f"{text!r} is no country of ISO 3166-1, such as CH")
    return text


def _time(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-03-01T22:30+01:00") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def _age(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Print the decision and its reasons; 0 allowed, 1 denied."""
    config = loaded.config
    scheme, host, raw = _split(args.url, config.public_url)
    target = canonical_target(raw, scheme=scheme, host_field=host)
    principal = _principal(args)
    print(f"{args.method} {args.url} by {_name(principal)}{f' from {args.ip}' if args.ip else ''}")
    if target is None:
        return _denied(Reason.BAD_TARGET, "host or path is malformed or ambiguous, so no rule is asked")
    if args.verbose:
        _print_facts(target, args.ip, loaded)
    if not HostList(config.public_url, config.hosts).serves(target.host, target.port):
        return _denied(Reason.UNKNOWN_HOST, f"{target.authority} is neither public_url's host nor one of hosts")
    asked = _asking(args, target)
    places = None if args.country else _places(loaded)
    known = (lambda _address: args.country) if places is None else places.country
    if not target.path.startswith(f"{config.prefix}/health/") and not _welcome(args, asked, known, loaded):
        return 1
    if target.path == config.prefix or target.path.startswith(f"{config.prefix}/"):
        print(f"allowed: {config.prefix} is the gate's own, no rule is asked")
        return 0
    steps = loaded.rules.explain(args.method, target, asked, country_of=known)
    decided = next((step for step in steps if step.outcome in {Outcome.DECIDES, Outcome.UNCLEAR}), None)
    status = _decide(decided, principal)
    for step in steps:
        print(f"  {_said(step, principal)}")
    return status


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request as criteria see it (``policies.criteria.AccessRequest``)."""

    target: RequestTarget
    client: Address
    headers: CIMultiDict[str]
    received: float


def _asking(args: argparse.Namespace, target: RequestTarget) -> _Asked:
    client = IPv4Address("127.0.0.1") if args.ip is None else args.ip
    return _Asked(target, client, CIMultiDict(args.header), SystemClock().now() if args.at is None else args.at)


def _welcome(args: argparse.Namespace, asked: _Asked, country_of: CountryOf, loaded: LoadedConfig) -> bool:
    """Say which ban it meets, if any; whether it may go on."""
    country = country_of(asked.client) if args.ip is not None or args.country else None
    found = bans_on(Suspect(args.ip, country, asked.headers.get("User-Agent"), args.user), loaded)
    if found.remark is not None:
        print(f"  {found.remark}")
    if found.ban is not None:
        _denied(Reason.BANNED, found.ban)
    return found.ban is None


def _places(loaded: LoadedConfig) -> PlaceFinder | None:
    """The database of places; None where it cannot be opened, which ``check`` says."""
    try:
        return open_places(loaded.config.geo)
    except StartupError:
        return None


def _split(url: str, public_url: str) -> tuple[str, str, str]:
    """Scheme, Host field and request target as a client would send them."""
    match = _ABSOLUTE.fullmatch(url)
    if match is None:
        public = urlsplit(public_url)
        return public.scheme, public.netloc, url
    rest = match["rest"] or "/"
    return match["scheme"], match["host"], rest if rest.startswith("/") else f"/{rest}"


def _principal(args: argparse.Namespace) -> Principal | None:
    """Whoever is said to call; the clock stands at 0, so that ages are times before it."""
    given = (args.user, args.mfa_age, args.auth_age)
    if not args.role and all(value is None for value in given):
        return None
    logged_in = args.mfa_age if args.auth_age is None else args.auth_age
    return Principal(
        "explain",
        args.user or "somebody",
        frozenset(args.role),
        "explain",
        "explain",
        email_verified=True,
        acr="1fa" if args.mfa_age is None else "2fa",
        auth_time=-inf if logged_in is None else -logged_in,
        mfa_time=-inf if args.mfa_age is None else -args.mfa_age,
    )


def _name(principal: Principal | None) -> str:
    if principal is None:
        return "nobody (not signed in)"
    roles = ", ".join(sorted(principal.roles)) or "none"
    return f"{principal.email} (roles: {roles})"


def _print_facts(target: RequestTarget, address: Address | None, loaded: LoadedConfig) -> None:
    print(f"  as understood: {target.scheme}://{target.authority}{target.origin_form}")
    if address is not None:
        trusted = TrustedProxies(networks(loaded.config)).trusts(address)
        words = "a trusted proxy: its X-Forwarded-* count" if trusted else "no trusted proxy"
        print(f"  {address} is {words}")


def _decide(step: Step | None, principal: Principal | None) -> int:
    if step is None:
        return _denied(Reason.NO_RULE, "no rule matches")
    rule = step.rule
    if step.outcome is Outcome.UNCLEAR:
        return _denied(Reason.NO_RULE, f"rule {_place(rule)} cannot tell whether it matches: {step.detail}")
    reason = admits(rule, principal)
    if reason is not None:
        return _denied(reason, f"rule {_place(rule)} decides and admits {_admitted(rule)}")
    missing = None if principal is None else lacks(rule, principal, 0.0)
    if missing is not None:
        return _denied(missing.reason, f"rule {_place(rule)} decides and asks for {_asked(rule, missing)}")
    print(f"allowed: rule {_place(rule)} decides and admits {_admitted(rule)}; to upstream {rule.upstream}")
    return 0


def _denied(reason: Reason, words: str) -> int:
    print(f"denied: {STATUS[reason]} {reason}: {words}")
    return 1


def _place(rule: Rule) -> str:
    return rule.name if rule.line is None else f"{rule.name} (line {rule.line})"


def _admitted(rule: Rule) -> str:
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
        return "a sign-in" if rule.access is Access.AUTHENTICATED else f"a sign-in with {_admitted(rule)}"
    if rule.access is Access.SUBJECTS:
        return " or ".join(", ".join(subject.lacks(principal)) for subject in rule.subjects)
    return f"one of the {_admitted(rule)}"


def _said(step: Step, principal: Principal | None) -> str:
    match step.outcome:
        case Outcome.DECIDES:
            needed = _needed(step.rule, principal)
            return f"{_place(step.rule)}: decides{f', would need {needed}' if needed else ''}"
        case Outcome.REPORTS:
            needed = _needed(step.rule, principal)
            return f"{_place(step.rule)}: would decide{f' and need {needed}' if needed else ''}, but only reports"
        case Outcome.UNCLEAR:
            return f"{_place(step.rule)}: refuses, as nobody can tell {step.criterion}: {step.detail}"
        case Outcome.TOO_LATE:
            return f"{_place(step.rule)}: matches too, but {step.detail}"
        case Outcome.MISS:
            return f"{_place(step.rule)}: no, {step.criterion}: {step.detail}"
