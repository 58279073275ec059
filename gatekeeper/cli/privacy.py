"""``gatekeeper user export`` and ``user erase``: what the gate holds of one person, handed out or gone."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import orjson

from gatekeeper.app.login_log import hidden_email
from gatekeeper.bootstrap import secret_of
from gatekeeper.cli.arguments import whoami
from gatekeeper.cli.logs import database
from gatekeeper.cli.stores import attached
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.journal.archive import Archive, read, verify
from gatekeeper.journal.audit import Change
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.login_months import PostgresLoginMonths
from gatekeeper.store.personal_data import Person, PostgresPersonalData, login_line
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis

_AT_ONCE = 1000


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the group ``user``."""
    summary = "print everything that is kept of a person as JSON lines, login attempts and archives included"
    export = commands.add_parser("export", help=summary, description=summary)
    export.add_argument("email", metavar="EMAIL")
    export.set_defaults(run=run, command=_export)
    summary = "delete an account with everything that is kept of the person, in the login log and its archives too"
    erase = commands.add_parser("erase", help=summary, description=summary)
    erase.add_argument("email", metavar="EMAIL")
    erase.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    erase.set_defaults(run=run, command=_erase)


@dataclass(frozen=True, slots=True)
class _Desk:
    """What both work with."""

    postgres: Postgres
    accounts: Accounts
    archive: Archive | None
    person: Person


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one of the commands; 0 good. Faults are raised for ``main`` to print."""
    with attached(loaded) as addresses:
        asyncio.run(_run(args, loaded.config, addresses.postgres, addresses.redis))
    return 0


async def _run(args: argparse.Namespace, config: Config, dsn: str, url: str) -> None:
    async with _desk(args.email, config, dsn, url) as desk:
        await args.command(desk, args)


@asynccontextmanager
async def _desk(typed: str, config: Config, dsn: str, url: str) -> AsyncIterator[_Desk]:
    try:
        email = canonical_email(typed)
    except InvalidEmail as fault:
        raise Refused(f"{typed!r} {fault}") from None
    redis, folder = Redis(url, timeout=2.0), config.logs.archive_to
    async with database(dsn) as postgres:
        try:
            await redis.open()
            live = RedisSessions(redis, user_life=config.tokens.refresh_ttl + 86_400)
            accounts = Accounts(PostgresAccounts(postgres), live)
            account = await accounts.find_by_email(email)
            hidden = hidden_email(secret_of(config.storage))(email)
            person = Person(account.state.id if account else None, email, hidden)
            yield _Desk(postgres, accounts, Archive(folder) if folder is not None else None, person)
        finally:
            await redis.close()


async def _export(desk: _Desk, _args: argparse.Namespace) -> None:
    found = False
    async with aclosing(PostgresPersonalData(desk.postgres).lines(desk.person)) as lines:
        async for line in lines:
            found = True
            sys.stdout.write(line + "\n")
    for line in _archived(desk.archive, desk.person) if desk.archive else ():
        found = True
        sys.stdout.write(line + "\n")
    if not found:
        raise Refused(f"nothing is kept of {desk.person.email}")


def _archived(archive: Archive, person: Person) -> Iterator[str]:
    for path in map(archive.path, archive.months()):
        verify(path)
        for rows in read(path, _AT_ONCE):
            for row in rows:
                if person.theirs(row["user_id"], row["email"]):
                    yield login_line(orjson.dumps(row).decode())


async def _erase(desk: _Desk, args: argparse.Namespace) -> None:
    person, now = desk.person, SystemClock.now()
    _confirm(person.email, yes=args.yes)
    if person.user:
        await desk.accounts.lock(person.user, now)  # every session ends, before the account does
    months = PostgresLoginMonths(desk.postgres)
    async with months.still():
        archived = await asyncio.to_thread(_erase_from, desk.archive, person) if desk.archive else 0
        rows = await PostgresPersonalData(desk.postgres).erase(person, now)
    if not (person.user or rows or archived):
        raise Refused(f"nothing is kept of {person.email}")
    change = Change(
        now, f"cli:{whoami()}", "user.erase", person.user or "unknown", None, {"rows": rows, "archived": archived}
    )
    await PostgresJournal(desk.postgres).record_change(change)
    account = "the account and " if person.user else ""
    print(f"erased of {person.email}: {account}{rows} login attempts, {archived} in archives")


def _erase_from(archive: Archive, person: Person) -> int:
    """How many rows of archived months were this person's."""
    return sum(
        archive.keep(month, lambda row: not person.theirs(row["user_id"], row["email"])) for month in archive.months()
    )


def _confirm(email: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("this cannot be undone: say --yes where nobody can be asked")
    if input(f"This cannot be undone. Type {email} again: ").strip().lower() != email:
        raise Refused("that is another e-mail; nothing was erased")
