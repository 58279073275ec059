"""``gatekeeper explain``: which rule decides about a request, and why each other does not (``gatekeeper.explain``)."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from gatekeeper.app.places import open_places
from gatekeeper.cli import arguments
from gatekeeper.cli.explain_bans import bans_on
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.types import parse_duration
from gatekeeper.doors import networks
from gatekeeper.errors import StartupError
from gatekeeper.explain import WHOLE_ADDRESS, Explainer, Supposed
from gatekeeper.inbound import HostList, TrustedProxies
from geo.lookup import PlaceFinder
from policies.countries import CODES
from policies.model import Address, RequestTarget
from policies.read import METHODS
from policies.scopes import parse_scope


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
        "--scope",
        metavar="S",
        type=_scope,
        action="append",
        default=[],
        help="by an API key of theirs with this scope, a name or a path such as 'GET /reports/**'; may be given again",
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
    if not text.startswith("/") and WHOLE_ADDRESS.fullmatch(text) is None:
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
    places = None if args.country else _places(loaded)
    explainer = Explainer(
        lambda: loaded.rules,
        HostList(config.public_url, config.hosts),
        public_url=config.public_url,
        prefix=config.prefix,
        country_of=(lambda _address: None) if places is None else places.country,
        ban_on=lambda suspect: bans_on(suspect, loaded),
    )
    found = explainer.explain(_supposed(args))
    print(f"{args.method} {args.url} by {found.caller}{f' from {args.ip}' if args.ip else ''}")
    if args.verbose and found.target is not None:
        _print_facts(found.target, args.ip, loaded)
    if found.remark is not None:
        print(f"  {found.remark}")
    verdict = "allowed" if found.reason is None else f"denied: {found.status} {found.reason}"
    print(f"{verdict}: {found.words}")
    for step in found.rules:
        print(f"  {step.rule}: {step.words}")
    return 0 if found.reason is None else 1


def _supposed(args: argparse.Namespace) -> Supposed:
    return Supposed(
        args.method,
        args.url,
        SystemClock().now() if args.at is None else args.at,
        user=args.user,
        roles=args.role,
        address=args.ip,
        country=args.country,
        headers=args.header,
        mfa_age=args.mfa_age,
        auth_age=args.auth_age,
        scopes=args.scope,
    )


def _scope(text: str) -> str:
    try:
        parse_scope(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(f"{text!r}: {fault}") from None
    return text


def _places(loaded: LoadedConfig) -> PlaceFinder | None:
    """The database of places; None where it cannot be opened, which ``check`` says."""
    try:
        return open_places(loaded.config.geo)
    except StartupError:
        return None


def _print_facts(target: RequestTarget, address: Address | None, loaded: LoadedConfig) -> None:
    print(f"  as understood: {target.scheme}://{target.authority}{target.origin_form}")
    if address is not None:
        trusted = TrustedProxies(networks(loaded.config)).trusts(address)
        words = "a trusted proxy: its X-Forwarded-* count" if trusted else "no trusted proxy"
        print(f"  {address} is {words}")
