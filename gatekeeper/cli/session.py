"""``gatekeeper session``: who is signed in, and ending it. Every ending is in the audit log as ``cli:<user>``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gatekeeper.cli.arguments import whoami
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.cli.tables import print_rows
from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import Refused
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.journal.audit import Change
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.records import PostgresJournal, PostgresSessionRecords
from gatekeeper.tokens.durable import SessionRecord
from geo.device import find_device

_MOST: Final = 10_000  # sessions listed
_AT_ONCE: Final = 200  # asked about at a time


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a session command works with; ``idle_ttl`` in seconds."""

    live: RedisSessions
    records: PostgresSessionRecords
    accounts: PostgresAccounts
    journal: PostgresJournal
    idle_ttl: float
    now: float


Command = Callable[[_Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("session", help="who is signed in: list, revoke")
    commands = group.add_subparsers(dest="session_command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every living session, newest first")
    listing.add_argument("--user", metavar="EMAIL", help="of this user alone")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    revoke = commands.add_parser("revoke", help="end a session, in force on the next request everywhere")
    revoke.add_argument("sid", metavar="SID", help="as `session list` shows it; after -- where it begins with a dash")
    revoke.set_defaults(run=run, command=_revoke)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one command; 0 good. Faults are raised for ``main`` to print."""

    async def work(desk: Desk) -> None:
        records, accounts = PostgresSessionRecords(desk.postgres), PostgresAccounts(desk.postgres)
        idle_ttl = desk.config.tokens.idle_ttl
        await args.command(_Desk(desk.live, records, accounts, desk.journal, idle_ttl, desk.now), args)

    return carry_out(work, loaded)


async def _list(desk: _Desk, args: argparse.Namespace) -> None:
    if args.user is None:
        found = await desk.records.latest_open(_MOST, desk.now)
    else:
        user, email = await _user(desk, args.user)
        found = [(record, email) for record in await desk.records.open_of(user, desk.now)]
    rows: list[dict[str, object]] = []
    for start in range(0, len(found), _AT_ONCE):
        rows += await _living(desk, found[start : start + _AT_ONCE])
    print_rows(rows, as_json=args.json)


async def _user(desk: _Desk, typed: str) -> tuple[str, str]:
    try:
        account = await desk.accounts.find_by_email(canonical_email(typed))
    except InvalidEmail as fault:
        raise Refused(f"{typed!r} {fault}") from None
    if account is None:
        raise Refused(f"there is no user {typed}")
    return account.state.id, account.state.email


async def _living(desk: _Desk, found: list[tuple[SessionRecord, str]]) -> list[dict[str, object]]:
    """Those that Redis has too; the records of idle ones are closed by nobody."""
    sessions = await asyncio.gather(*(desk.live.find(record.id) for record, _ in found))
    return [
        _row(record, email, session.seen_at)
        for (record, email), session in zip(found, sessions, strict=True)
        if session is not None and session.alive(desk.now, desk.idle_ttl)
    ]


def _row(record: SessionRecord, email: str, seen_at: float) -> dict[str, object]:
    device = find_device(record.origin.user_agent)
    named = [part for part in (device.program, device.system) if part is not None]
    return {
        "sid": record.id,
        "user": email,
        "started": _time(record.started_at),
        "seen": _time(seen_at),
        "expires": _time(record.expires_at),
        "address": str(record.origin.address),
        "country": record.origin.country,
        "device": " on ".join(named) or None,
        "amr": list(record.amr),
    }


def _time(seconds: float) -> str:
    return as_datetime(seconds).isoformat(timespec="seconds")


async def _revoke(desk: _Desk, args: argparse.Namespace) -> None:
    record = await desk.records.find(args.sid)
    if record is None or record.ended_at is not None:
        raise Refused(f"there is no session {args.sid} that lives")
    await desk.live.end([record.id])
    await desk.records.ended([record.id], "revoked", desk.now)
    facts: dict[str, object] = {"user": record.user_id}
    await desk.journal.record_change(Change(desk.now, f"cli:{whoami()}", "session.revoke", record.id, facts, None))
    print(f"ended {record.id}")
