"""``gatekeeper ban``: who may not connect. Every change is in the audit log as ``cli:<user>``, and in force at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.bans import lists
from gatekeeper.bans.desk import Actor, BanDesk, said_time
from gatekeeper.bans.lists import BadList
from gatekeeper.cli.arguments import duration, whoami
from gatekeeper.cli.frame import FAILED
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.cli.tables import print_rows
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import GatekeeperError
from gatekeeper.identity.emails import canonical_email
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.ban_words import RedisBanWords
from gatekeeper.store.bans import PostgresBans
from policies.bans import Ban, BanKind

SUBJECT = "an address, a network, a two-letter country, agent:PATTERN, a user's e-mail or user:ID"


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a ban command works with."""

    bans: BanDesk
    store: PostgresBans
    by: Actor
    now: float
    config: Config


class _Accounts:
    """Implements ``bans.desk.UserFinder``."""

    def __init__(self, accounts: PostgresAccounts) -> None:
        self._accounts = accounts

    async def find_user(self, email: str) -> tuple[str, str] | None:
        account = await self._accounts.find_by_email(canonical_email(email))
        return None if account is None else (account.state.id, account.state.email)


Command = Callable[[_Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("ban", help="who may not connect: add, list, lift, history, import, export")
    commands = group.add_subparsers(dest="ban_command", required=True, metavar="COMMAND", title="commands")
    add = _command(commands, "add", _add, "ban somebody, in force within a second; open connections are closed")
    add.add_argument("subject", metavar="SUBJECT", help=SUBJECT)
    _terms(add)
    listing = _command(commands, "list", _list, "every ban in force, the oldest first")
    lift = _command(commands, "lift", _lift, "end the ban of exactly this subject")
    lift.add_argument("subject", metavar="SUBJECT", help=SUBJECT)
    history = _command(commands, "history", _history, "what bans a subject had, the newest first")
    history.add_argument("subject", metavar="SUBJECT", help=SUBJECT)
    for one in (listing, history):
        one.add_argument("--json", action="store_true", help="JSON lines")
    taking = _command(commands, "import", _import, "put a list in force, all of it or, with a mistake, nothing")
    taking.add_argument("file", metavar="FILE", help="lines of SUBJECT [until=TIME] [# reason]; - is standard input")
    _terms(taking)
    _command(commands, "export", _export, "every ban in force on standard output, as `ban import` reads it")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, summary: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run, command=command)
    return parser


def _terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="length", metavar="D", type=duration, help="how long, such as 15m or 30d (default: for good)"
    )
    parser.add_argument("--reason", metavar="T", default="", help="why, for whoever asks later")


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one ban command; 0 good, 1 failed."""

    async def work(desk: Desk) -> None:
        store = PostgresBans(desk.postgres, RedisBanWords(desk.redis).tell)
        service = BanDesk(store, desk.journal, _Accounts(PostgresAccounts(desk.postgres)))
        await args.command(_Desk(service, store, Actor(f"cli:{whoami()}"), desk.now, desk.config), args)

    try:  # Redis only carries the word; gates look by themselves
        return carry_out(work, loaded, without_redis=True)
    except BadList as bad:
        for fault in bad.faults:
            print(fault, file=sys.stderr)
        return FAILED


async def _add(desk: _Desk, args: argparse.Namespace) -> None:
    ban, before = await desk.bans.add(args.subject, desk.by, desk.now, length=args.length, reason=args.reason)
    place = "" if before is None else f", in place of one {_end(before)}"
    print(f"banned {_name(ban)} {_end(ban)}{place}")
    allowed = _allowed(ban, desk.config)
    if allowed:
        print(f"bans.allow keeps {', '.join(allowed)} out of it", file=sys.stderr)


async def _list(desk: _Desk, args: argparse.Namespace) -> None:
    some = False
    async for portion in desk.store.in_force(desk.now):
        print_rows([_row(ban) for ban in portion], as_json=args.json)
        some = True
    if not some:
        print_rows([], as_json=args.json)


async def _lift(desk: _Desk, args: argparse.Namespace) -> None:
    lifted = await desk.bans.lift(args.subject, desk.by, desk.now)
    print(f"{_name(lifted)} is not banned any more; the ban was {_end(lifted)}")


async def _history(desk: _Desk, args: argparse.Namespace) -> None:
    bans = await desk.bans.history(args.subject, 1000)
    rows = [{**_row(ban), "lifted": said_time(ban.lifted_at), "lifted_by": ban.lifted_by} for ban in bans]
    print_rows(rows, as_json=args.json)


async def _import(desk: _Desk, args: argparse.Namespace) -> None:
    lines = lists.read(_content(args.file))
    count = await desk.bans.take_over(lines, desk.by, desk.now, length=args.length, reason=args.reason)
    over = len(lines) - count
    print(f"banned {count}{f'; {over} of {len(lines)} lines are over or said twice' if over else ''}")


async def _export(desk: _Desk, args: argparse.Namespace) -> None:
    for line in lists.heading(desk.now):
        print(line)
    async for portion in desk.store.in_force(desk.now):
        print("\n".join(map(lists.write, portion)))


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(lists.MOST_BYTES + 1)
        with Path(file).open("rb") as stream:
            return stream.read(lists.MOST_BYTES + 1)
    except OSError as fault:
        raise GatekeeperError(f"{file}: {fault.strerror}") from None


def _row(ban: Ban) -> dict[str, object]:
    return {
        "subject": _name(ban),
        "kind": str(ban.subject.kind),
        "since": said_time(ban.since),
        "until": said_time(ban.until),
        "source": str(ban.source),
        "by": ban.actor,
        "reason": ban.reason,
    }


def _name(ban: Ban) -> str:
    text = f"agent:{ban.subject.text}" if ban.subject.kind is BanKind.AGENT else ban.subject.text
    return text if ban.label is None else ban.label


def _end(ban: Ban) -> str:
    return "for good" if ban.until is None else f"until {said_time(ban.until)}"


def _allowed(ban: Ban, config: Config) -> Sequence[str]:
    if ban.subject.kind is not BanKind.NETWORK:
        return ()
    network = ban.subject.network
    return [str(allowed) for allowed in config.bans.allow if allowed.overlaps(network)]
