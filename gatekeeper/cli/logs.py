"""``gatekeeper logs``: the login log on standard output, its old months into files, and back."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from gatekeeper.app.login_log import MONTHS_TIMEOUT, retention
from gatekeeper.cli import arguments
from gatekeeper.cli.stores import attached
from gatekeeper.clock import SystemClock, as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.journal.archive import Archive, read, verify
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.journal.audit import Change
from gatekeeper.journal.questions import LoginFilter
from gatekeeper.journal.retention import first_of, month_of
from gatekeeper.journal.rows import flat, from_row
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.login_months import PostgresLoginMonths
from gatekeeper.store.login_reader import PostgresLoginReader
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from policies.model import Reason

_AT_ONCE: Final = 1000
_HELD: Final = "7d"
Command = Callable[[Config, Postgres, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("logs", help="the login log: export, archive, restore")
    commands = group.add_subparsers(metavar="COMMAND", required=True, title="commands")
    summary = "print login attempts as JSON lines, the oldest first"
    export = commands.add_parser("export", help=summary, description=summary)
    _add_filters(export)
    export.set_defaults(run=run, command=_export)
    summary = "move old months into files: those beyond logs.retain and logs.retain_size, or before a date"
    archive = commands.add_parser("archive", help=summary, description=summary)
    archive.add_argument(
        "--before", type=arguments.first_of_month, metavar="YYYY-MM-01", help="every whole month before then"
    )
    archive.set_defaults(run=run, command=_archive)
    summary = "bring a file of `logs archive` back into the database, after its checksum has been looked at"
    restore = commands.add_parser("restore", help=summary, description=summary)
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument(
        "--for",
        dest="held",
        type=arguments.duration,
        default=arguments.duration(_HELD),
        metavar="D",
        help=f"how long it stays, should it be too old (default: {_HELD})",
    )
    restore.set_defaults(run=run, command=_restore)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=arguments.moment, metavar="TIME", help="a date or RFC 3339, UTC; included")
    parser.add_argument("--until", type=arguments.moment, metavar="TIME", help="likewise; not included")
    parser.add_argument("--user", metavar="EMAIL", help="attempts on this account")
    parser.add_argument("--email", metavar="TEXT", help="attempts with this text, exactly as it was typed")
    parser.add_argument("--address", type=arguments.network, metavar="CIDR", help="an address or a network")
    parser.add_argument("--country", metavar="CC", type=str.upper)
    parser.add_argument("--asn", type=int, metavar="N")
    parser.add_argument("--result", choices=[*map(str, Result)])
    parser.add_argument("--reason", choices=[*map(str, Reason)], metavar="REASON")
    parser.add_argument("--method", metavar="M", help="password, otp, passkey, ...")
    parser.add_argument("--device", metavar="KIND", help="desktop, phone, ...")
    parser.add_argument("--session", metavar="SID")
    parser.add_argument("--signal", metavar="NAME", help="those that carry it")
    parser.add_argument("--risk", type=int, metavar="N", help="at least so much, of 100")
    parser.add_argument("--archives", action="store_true", help="the months in logs.archive_to too")


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one of the commands; 0 good. Faults are raised for ``main`` to print."""
    with attached(loaded) as addresses:
        asyncio.run(_run(args, loaded.config, addresses.postgres))
    return 0


async def _run(args: argparse.Namespace, config: Config, dsn: str) -> None:
    async with database(dsn) as postgres:
        command: Command = args.command
        await command(config, postgres, args)


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[Postgres]:
    """One with time for statements about a whole month."""
    postgres = Postgres(dsn, size=2, timeout=MONTHS_TIMEOUT)
    try:
        await postgres.open()
        yield postgres
    finally:
        await postgres.close()


async def _export(config: Config, postgres: Postgres, args: argparse.Namespace) -> None:
    wanted = await _filter(postgres, args)
    reader = PostgresLoginReader(postgres)
    if args.archives and config.logs.archive_to is not None:
        for found in archived(Archive(config.logs.archive_to), wanted):
            known = await reader.known([attempt for attempt, _ in found])
            sys.stdout.buffer.write(b"".join(line for attempt, line in found if attempt.id not in known))
    async with aclosing(reader.lines(wanted)) as batches:
        async for lines in batches:
            sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())


def archived(archive: Archive, wanted: LoginFilter) -> Iterator[list[tuple[Attempt, bytes]]]:
    """Attempts of the archived months that fit, some at a time, and their lines. Raises ArchiveFault."""
    for month in archive.months():
        verify(archive.path(month))
        for rows in read(archive.path(month), _AT_ONCE):
            found = [(from_row(flat(row)), row) for row in rows]
            yield [(attempt, orjson.dumps(row) + b"\n") for attempt, row in found if wanted.fits(attempt)]


async def _filter(postgres: Postgres, args: argparse.Namespace) -> LoginFilter:
    user = None
    if args.user is not None:
        try:
            account = await PostgresAccounts(postgres).find_by_email(canonical_email(args.user))
        except InvalidEmail as fault:
            raise Refused(f"--user: {args.user!r} {fault}") from None
        if account is None:
            raise Refused(f"there is no user {args.user}; --email finds what was typed")
        user = account.state.id
    return LoginFilter(
        since=args.since,
        until=args.until,
        result=Result(args.result) if args.result else None,
        reason=Reason(args.reason) if args.reason else None,
        method=args.method,
        user_id=user,
        email=args.email,
        network=args.address,
        country=args.country,
        asn=args.asn,
        device_kind=args.device,
        session=args.session,
        signal=args.signal,
        risk=args.risk,
    )


async def _archive(config: Config, postgres: Postgres, args: argparse.Namespace) -> None:
    if config.logs.archive_to is None:
        raise Refused("logs.archive_to is null: old months are dropped, and nothing is archived")
    async with retention(config, postgres) as keeping:
        gone = await keeping.expire(SystemClock.now(), args.before)
    for one in gone:
        await _note(postgres, "logs.archive", one.month, {"rows": one.rows})
        print(f"{one.month}: {one.rows} rows in {one.path}" if one.rows else f"{one.month}: no rows, no file")
    if not gone:
        print("nothing to archive")


async def _restore(_config: Config, postgres: Postgres, args: argparse.Namespace) -> None:
    contents = await asyncio.to_thread(verify, args.file)
    start, now = first_of(contents.month), SystemClock.now()
    log, months = PostgresLoginLog(postgres), PostgresLoginMonths(postgres)
    await months.hold(contents.month, now + args.held)
    count = not await log.counted(start, start + 28 * 86_400)
    restored = 0
    batches = read(args.file, _AT_ONCE)
    while batch := await asyncio.to_thread(lambda: next(islice(batches, 1), None)):
        rows = [flat(row) for row in batch]
        if any(month_of(datetime.fromisoformat(row["time"])) != contents.month for row in rows):
            raise Refused(f"{args.file}: holds rows of other months than {contents.month}")
        restored += await log.restore(rows, count=count)
    await _note(postgres, "logs.restore", contents.month, {"rows": restored})
    left = contents.rows - restored
    print(
        f"{contents.month}: {restored} rows are back until {as_datetime(now + args.held).astimezone(UTC):%Y-%m-%d}"
        + (f"; {left} were there already, or are of accounts that were erased" if left else "")
    )


async def _note(postgres: Postgres, action: str, month: str, after: dict[str, object]) -> None:
    change = Change(SystemClock.now(), f"cli:{arguments.whoami()}", action, month, None, after)
    await PostgresJournal(postgres).record_change(change)
