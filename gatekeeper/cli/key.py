"""``gatekeeper key``: the keys that sign tokens. Every change is in the audit log as ``cli:<user>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gatekeeper.app.keys import key_desk
from gatekeeper.app.parts import KEYS_EVERY
from gatekeeper.bans.desk import Actor, said_time
from gatekeeper.bootstrap import secret_of
from gatekeeper.cli.arguments import duration, whoami
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.cli.tables import print_rows
from gatekeeper.config.load import LoadedConfig
from gatekeeper.key_desk import LEAD, PURPOSES, KeyDesk, ShownKey


@dataclass(frozen=True, slots=True)
class _Asked:
    """The service, who asks it, and when."""

    desk: KeyDesk
    by: Actor
    now: float


Command = Callable[[_Asked, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("key", help="the gate's signing keys: list, rotate, retire")
    commands = group.add_subparsers(dest="key_command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every key, newest first; never its private half")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    summary = "publish a new key now, sign with it after a while, and let the old one verify until its tokens are over"
    rotate = commands.add_parser("rotate", help=summary, description=summary)
    rotate.add_argument("--purpose", choices=PURPOSES, default="access", help="what it signs (default: access)")
    rotate.add_argument(
        "--lead", type=duration, default=LEAD, metavar="D", help="after how long it signs (default: 10m)"
    )
    rotate.set_defaults(run=run, command=_rotate)
    summary = "end a key at once: what it signed is refused; another takes its place where none signs"
    retire = commands.add_parser("retire", help=summary, description=summary)
    retire.add_argument("kid", metavar="KID", help="as `key list` shows it; after -- where it begins with a dash")
    retire.set_defaults(run=run, command=_retire)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one command; 0 good. Faults are raised for ``main`` to print."""

    async def work(desk: Desk) -> None:
        keys = key_desk(desk.config, desk.postgres, desk.journal, secret_of(desk.config.storage))
        await args.command(_Asked(keys, Actor(f"cli:{whoami()}"), desk.now), args)

    return carry_out(work, loaded)


async def _list(asked: _Asked, args: argparse.Namespace) -> None:
    print_rows([_row(key) for key in await asked.desk.all(asked.now)], as_json=args.json)


def _row(key: ShownKey) -> dict[str, object]:
    return {
        "kid": key.kid,
        "purpose": key.purpose,
        "algorithm": key.algorithm,
        "state": key.state,
        "created": said_time(key.created_at),
        "signs_from": said_time(key.signs_from),
        "retired": said_time(key.retired_at),
    }


async def _rotate(asked: _Asked, args: argparse.Namespace) -> None:
    made = await asked.desk.rotate(args.purpose, asked.by, asked.now, lead=args.lead)
    print(made.kid, flush=True)
    starts, until = said_time(made.signs_from), said_time(made.others_until)
    print(f"it signs from {starts} on; the others verify until {until}", file=sys.stderr)
    if args.lead < LEAD:
        print("that is soon: who keeps jwks.json for 5 minutes may not know it by then", file=sys.stderr)


async def _retire(asked: _Asked, args: argparse.Namespace) -> None:
    retired = await asked.desk.retire(args.kid, asked.by, asked.now)
    print(f"retired {retired.kid}; what it signed is refused within {KEYS_EVERY:g} s")
    if retired.successor is not None:
        print(f"{retired.successor} signs in its place", file=sys.stderr)
