"""``gatekeeper audit``: who changed what, and whether anybody changed that afterwards."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import orjson

from gatekeeper.app.audit import audit_inspector
from gatekeeper.bootstrap import secret_of
from gatekeeper.cli.arguments import duration
from gatekeeper.cli.frame import FAILED, GOOD
from gatekeeper.cli.stores import attached
from gatekeeper.cli.tables import print_rows
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.sealing import Head, Verified
from gatekeeper.store.audit import Asked, AuditReader
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis

_FAULTS_SHOWN: Final = 100
_PORTION: Final = 500


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("audit", help="list, verify: who changed what, and whether that is the whole story")
    commands = group.add_subparsers(dest="audit_command", required=True, metavar="COMMAND", title="commands")
    listing = commands.add_parser("list", help="entries, the newest first")
    listing.add_argument("--actor", metavar="A", help="by this user's id, or cli:NAME, or gate")
    listing.add_argument("--action", metavar="A", help="this one, such as user.lock, or a group, such as ban.*")
    listing.add_argument("--subject", metavar="S", help="about this one, such as a user's id")
    listing.add_argument("--since", metavar="D", type=duration, help="of the last such time, such as 7d")
    listing.add_argument("--limit", metavar="N", type=_count, default=50, help="how many at most (default: 50)")
    listing.add_argument("--json", action="store_true", help="JSON lines, with before and after")
    listing.set_defaults(run=_list)
    summary = "Hold every entry against its seal. Exit 0: nothing was changed, removed or slipped in; 1: something was."
    verifying = commands.add_parser("verify", help="whether entries were changed or removed", description=summary)
    verifying.add_argument(
        "--head",
        metavar="N:HASH",
        type=_head,
        action="append",
        default=[],
        help="a seal that was written down before, as verify and the log say it; it must still be there",
    )
    verifying.set_defaults(run=_verify)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000000 is needed")
    return int(text)


def _head(text: str) -> Head:
    number, _, hashed = text.partition(":")
    try:
        head = Head(int(number), bytes.fromhex(hashed))
    except ValueError:
        head = Head(0, b"")
    if head.number < 1 or len(head.hash) != 32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seal as verify says it, such as 12:3fa9...")
    return head


def _list(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    with attached(loaded) as addresses:
        asyncio.run(_show(args, addresses.postgres))
    return GOOD


async def _show(args: argparse.Namespace, dsn: str) -> None:
    since = None if args.since is None else SystemClock.now() - args.since
    left, before = args.limit, None
    async with _open(dsn) as postgres:
        reader = AuditReader(postgres)
        while left:
            asked = Asked(args.actor, args.action, args.subject, since, None, before)
            rows = await reader.page(asked, min(left, _PORTION))
            if rows or before is None:
                _print(rows, as_json=args.json)
            if len(rows) < min(left, _PORTION):
                return
            left, before = left - len(rows), rows[-1]["id"]


def _print(rows: Sequence[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
        return
    shown = ("id", "time", "actor", "action", "subject", "address")
    table = [{name: row[name] for name in shown} for row in rows]
    for row in table:
        time = row["time"]
        row["time"] = time.isoformat(timespec="seconds") if isinstance(time, datetime) else time
    print_rows(table, as_json=False)


def _verify(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    secret = secret_of(loaded.config.storage)
    with attached(loaded) as addresses:
        found = asyncio.run(_verified(args.head, secret, addresses.postgres, addresses.redis))
    sys.stdout.flush()
    for fault in found.faults[:_FAULTS_SHOWN]:
        print(fault, file=sys.stderr)
    if len(found.faults) > _FAULTS_SHOWN:
        print(f"and {len(found.faults) - _FAULTS_SHOWN} more", file=sys.stderr)
    if not found.remembered:
        print("Redis remembers no seal, so the newest ones may be missing unseen; give --head", file=sys.stderr)
    print(_said(found))
    return FAILED if found.faults else GOOD


def _said(found: Verified) -> str:
    newest = found.newest
    if newest is None:
        head = "nothing is sealed yet"
    else:
        when = datetime.fromtimestamp(newest.sealed_at / 1e6, UTC).isoformat(timespec="seconds")
        head = f"the newest seal is {newest.number}:{newest.hash.hex()} of {when}"
    state = f"{len(found.faults)} faults" if found.faults else "unchanged"
    return f"{found.entries} entries under {found.seals} seals: {state}; {found.waiting} not sealed yet; {head}"


async def _verified(heads: Sequence[Head], secret: str, dsn: str, url: str) -> Verified:
    redis = Redis(url, timeout=2.0)
    async with _open(dsn) as postgres:
        try:
            with suppress(StoreUnavailable):
                await redis.open()
            return await audit_inspector(postgres, redis, secret).whole(heads)
        finally:
            await redis.close()


@asynccontextmanager
async def _open(dsn: str) -> AsyncIterator[Postgres]:
    postgres = Postgres(dsn, size=1, timeout=30.0)
    try:
        await postgres.open()
        yield postgres
    finally:
        await postgres.close()
