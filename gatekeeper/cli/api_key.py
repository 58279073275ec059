"""``gatekeeper api-key``: keys for programs. Every change is in the audit log as ``cli:<user>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gatekeeper.app.api_keys import key_service
from gatekeeper.cli.arguments import duration, network, whoami
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.cli.tables import print_rows
from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import Problem, Refused
from gatekeeper.identity.accounts import Account
from gatekeeper.identity.api_keys import LONGEST_NAME, ApiKey, ApiKeys, Author, BadScope, Wanted
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.api_keys import PostgresApiKeys


@dataclass(frozen=True, slots=True)
class _Desk:
    """What an api-key command works with."""

    keys: ApiKeys
    store: PostgresApiKeys
    accounts: PostgresAccounts
    by: Author
    now: float

    async def owner(self, email: str) -> Account:
        """The account of a typed e-mail. Raises Refused."""
        try:
            account = await self.accounts.find_by_email(canonical_email(email))
        except InvalidEmail as fault:
            raise Refused(f"{email!r} {fault}") from None
        if account is None:
            raise Refused(f"there is no user {email}")
        return account


Command = Callable[[_Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("api-key", help="keys for programs: add, list, rotate, revoke")
    commands = group.add_subparsers(dest="api_key_command", required=True, metavar="COMMAND")
    summary = "make a key of a user's; it is printed alone on standard output, this once"
    add = commands.add_parser("add", help=summary, description=summary)
    add.add_argument("email", metavar="EMAIL", help="its owner")
    add.add_argument("--name", required=True, metavar="N", help="what it is for")
    add.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help="what it may do: a name that rules ask for, or a path such as 'GET /reports/**'; may be given again",
    )
    add.add_argument(
        "--network", action="append", default=[], type=network, metavar="CIDR", help="from where; may be given again"
    )
    add.add_argument("--expires", type=duration, metavar="D", help="how long it lives, such as 90d (default: no end)")
    add.set_defaults(run=run, command=_add)
    listing = commands.add_parser("list", help="every key, or those of one user")
    listing.add_argument("--user", metavar="EMAIL", help="of this user alone")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    summary = "make another key like it, printed alone on standard output; the old one goes on for a while"
    rotate = commands.add_parser("rotate", help=summary, description=summary)
    rotate.add_argument("id", metavar="ID")
    rotate.add_argument("--overlap", type=duration, metavar="D", help="how long (default: api_keys.rotation_overlap)")
    rotate.set_defaults(run=run, command=_rotate)
    revoke = commands.add_parser("revoke", help="end a key, in force on the next request everywhere")
    revoke.add_argument("id", metavar="ID")
    revoke.set_defaults(run=run, command=_revoke)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one command; 0 good. Faults are raised for ``main`` to print."""

    async def work(desk: Desk) -> None:
        store = PostgresApiKeys(desk.postgres)
        service = key_service(desk.config, store, desk.live, desk.journal)
        mine = _Desk(service, store, PostgresAccounts(desk.postgres), Author(f"cli:{whoami()}"), desk.now)
        try:
            await args.command(mine, args)
        except Problem as refusal:
            raise Refused(_without_dot(refusal.detail.replace("You have no such", "there is no such"))) from None

    return carry_out(work, loaded)


async def _add(desk: _Desk, args: argparse.Namespace) -> None:
    owner, name = await desk.owner(args.email), args.name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused(f"--name: give it a visible name of {LONGEST_NAME} characters at most")
    if not args.scope:
        raise Refused("--scope: name at least one; '/**' is everything that its owner may do")
    try:
        desk.keys.check_scopes(args.scope, None)
    except BadScope as fault:
        raise Refused(f"--scope: {args.scope[fault.place % len(args.scope)]!r}: {fault}") from None
    try:
        expires = desk.keys.end_of(None if args.expires is None else desk.now + args.expires, desk.now)
    except ValueError as fault:
        raise Refused(f"--expires: {fault}") from None
    wanted = Wanted(name, args.scope, args.network, expires)
    made, text = await desk.keys.add(owner.state.id, wanted, desk.by, desk.now)
    _show(text, f"made {made.id} for {owner.state.email}; it is not shown again")


async def _list(desk: _Desk, args: argparse.Namespace) -> None:
    if args.user is None:
        keys = await desk.store.all()
    else:
        owner = (await desk.owner(args.user)).state
        keys = [(key, email) for key, email in await desk.store.all() if key.user_id == owner.id]
    print_rows([_row(key, email, desk.now) for key, email in keys], as_json=args.json)


async def _rotate(desk: _Desk, args: argparse.Namespace) -> None:
    found = await desk.store.find(args.id)
    if found is None or not found[0].good(desk.now):
        raise Refused(f"there is no API key {args.id} that is good")
    old, made, text = await desk.keys.rotate(found[0], desk.by, desk.now, overlap=args.overlap)
    until = _time(old.expires_at)
    _show(text, f"made {made.id} in place of {old.id}, which goes on until {until}; it is not shown again")


async def _revoke(desk: _Desk, args: argparse.Namespace) -> None:
    revoked = await desk.keys.revoke(args.id, desk.by, desk.now)
    print(f"revoked {revoked.id} ({revoked.name})")


def _show(text: str, words: str) -> None:
    print(text, flush=True)
    print(words, file=sys.stderr)


def _row(key: ApiKey, email: str, now: float) -> dict[str, object]:
    state = "revoked" if key.revoked_at is not None else "good" if key.good(now) else "expired"
    return {
        "id": key.id,
        "owner": email,
        "name": key.name,
        "start": key.start,
        "scopes": list(key.scopes),
        "networks": [str(one) for one in key.networks],
        "state": "rotated" if state == "good" and key.successor is not None else state,
        "created": _time(key.created_at),
        "expires": _time(key.expires_at),
        "last_used": _time(key.last_used_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else as_datetime(seconds).isoformat(timespec="seconds")


def _without_dot(text: str) -> str:
    return text.rstrip(".")
