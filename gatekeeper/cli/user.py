"""``gatekeeper user``: accounts from the command line. Every change is in the audit log as ``cli:<user>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gatekeeper.app.mail import passwords_of
from gatekeeper.cli import privacy, stores
from gatekeeper.cli.arguments import whoami
from gatekeeper.cli.invite import invite
from gatekeeper.cli.notices import notices
from gatekeeper.cli.tables import print_rows
from gatekeeper.cli.typed import typed_password
from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.config.types import parse_duration
from gatekeeper.errors import Conflict, Refused
from gatekeeper.identity.accounts import ROLE, Account, Accounts
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.factors.records import Factors
from gatekeeper.identity.notices import EVERY
from gatekeeper.identity.passwords import OWASP, Passwords
from gatekeeper.journal.audit import Change
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.tokens.sessions import UserState


@dataclass(frozen=True, slots=True)
class Desk:
    """What a user command works with."""

    accounts: Accounts
    factors: PostgresFactors
    passwords: Passwords
    journal: PostgresJournal
    now: float
    config: Config
    postgres: Postgres

    async def find(self, email: str) -> Account:
        """The account of a typed e-mail. Raises Refused."""
        account = await self.accounts.find_by_email(_email(email))
        if account is None:
            raise Refused(f"there is no user {email}")
        return account

    async def note(
        self, action: str, subject: str, before: dict[str, object] | None, after: dict[str, object] | None
    ) -> None:
        """The entry in the audit log."""
        await self.journal.record_change(Change(self.now, f"cli:{whoami()}", action, subject, before, after))


Command = Callable[[Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser(
        "user",
        help="accounts: add, list, show, passwd, role, lock, unlock, logout, invite, export, erase",
    )
    commands = group.add_subparsers(dest="user_command", required=True, metavar="COMMAND")
    add = _command(commands, "add", _add, "add a user; the password is asked for, or one line on standard input")
    add.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role; may be given again")
    add.add_argument("--name", help="the person's name")
    listing = commands.add_parser("list", help="every user")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    show = _command(commands, "show", _show, "one user")
    show.add_argument("--json", action="store_true", help="JSON lines")
    _command(commands, "passwd", _passwd, "set a new password; every session ends")
    role = _command(commands, "role", _role, "set the roles, in force on the next request; none takes all away")
    role.add_argument("role", nargs="*", metavar="ROLE")
    _command(commands, "lock", _lock, "no login, and every session ends")
    _command(commands, "unlock", _unlock, "logins again")
    _command(commands, "logout", _logout, "end every session")
    inviting = _command(commands, "invite", _invite, "print (and mail) a link that makes one account, for this e-mail")
    inviting.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role; may be given again")
    inviting.add_argument("--expires", metavar="D", help="life of the link, such as 12h or 7d")
    summary = "remove every second factor, recovery code and remembered device; sessions go on"
    _command(commands, "reset-factors", _reset_factors, summary)
    privacy.register(commands)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, summary: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("email", metavar="EMAIL")
    parser.set_defaults(run=run, command=command)
    return parser


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one user command; 0 good. Faults are raised for ``main`` to print."""

    async def work(open_stores: stores.Desk) -> None:
        postgres, journal, now = open_stores.postgres, open_stores.journal, open_stores.now
        accounts = Accounts(PostgresAccounts(postgres), open_stores.live)
        passwords = passwords_of(loaded.config, OWASP)
        try:
            desk = Desk(accounts, PostgresFactors(postgres), passwords, journal, now, loaded.config, postgres)
            await args.command(desk, args)
        finally:
            passwords.close()

    return stores.carry_out(work, loaded)


async def _add(desk: Desk, args: argparse.Namespace) -> None:
    email, roles = _email(args.email), _roles(args.role)
    if await desk.accounts.find_by_email(email) is not None:
        raise Refused(f"there is a user {email} already")
    hashed = await _new_password(desk)
    try:
        user = await desk.accounts.create(email, hashed, name=args.name, roles=roles, now=desk.now)
    except Conflict:
        raise Refused(f"there is a user {email} already") from None
    await desk.note("user.add", user.id, None, {"email": user.email, "roles": list(user.roles)})
    print(f"added {user.email} ({user.id})")


async def _invite(desk: Desk, args: argparse.Namespace) -> None:
    email, roles = _email(args.email), tuple(sorted(set(_roles(args.role))))
    if desk.config.registration_mode == "closed":
        raise Refused("registration.mode is closed, so no invitation would be taken; set it to invite")
    if await desk.accounts.find_by_email(email) is not None:
        raise Refused(f"there is a user {email} already")
    life = desk.config.registration.invitation_ttl
    if args.expires is not None:
        try:
            life = parse_duration(args.expires)
        except ValueError as fault:
            raise Refused(f"--expires: {fault}") from None
    link, mailed = await invite(desk.config, desk.postgres, email, roles, life, f"cli:{whoami()}", desk.now)
    await desk.note("user.invite", email, None, {"roles": list(roles)})
    print(link)
    if mailed:
        print(f"it is mailed to {email} as well", file=sys.stderr)


async def _list(desk: Desk, args: argparse.Namespace) -> None:
    print_rows([_row(account) for account in await desk.accounts.all()], as_json=args.json)


async def _show(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    factors = await desk.factors.factors_of(account.state.id, desk.now)
    print_rows([{**_row(account), **_factor_facts(factors)}], as_json=args.json)


async def _passwd(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    hashed = await _new_password(desk)
    user = await desk.accounts.set_password(account.state.id, hashed, desk.now)
    if user is not None:
        await notices(desk.config, desk.postgres).password_changed(user, None, desk.now)
    await _done(desk, "user.password", account, user, "has a new password; every session has ended")


async def _role(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    user = await desk.accounts.set_roles(account.state.id, _roles(args.role), desk.now)
    await _done(desk, "user.role", account, user, f"has the roles: {', '.join(sorted(set(args.role))) or 'none'}")


async def _lock(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    user = await desk.accounts.lock(account.state.id, desk.now)
    await _done(desk, "user.lock", account, user, "is locked; every session has ended")


async def _unlock(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    user = await desk.accounts.unlock(account.state.id, desk.now)
    await _done(desk, "user.unlock", account, user, "may log in again")


async def _logout(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    user = await desk.accounts.log_out(account.state.id, desk.now)
    await _done(desk, "user.logout", account, user, "is logged out everywhere")


async def _reset_factors(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    user = account.state
    before = _factor_facts(await desk.factors.factors_of(user.id, desk.now))
    await desk.factors.reset(user.id)
    after = _factor_facts(await desk.factors.factors_of(user.id, desk.now))
    await desk.note("user.reset-factors", user.id, before, after)
    await notices(desk.config, desk.postgres).factor_removed(user.id, user.email, EVERY, None, desk.now)
    print(f"{user.email} has no second factor any more; a password alone logs in, or asks for a new factor")


def _factor_facts(factors: Factors) -> dict[str, object]:
    return {
        "totp": factors.totp_since is not None,
        "passkeys": [passkey.name for passkey in factors.passkeys],
        "recovery_codes": factors.recovery_codes_left,
        "remembered_devices": factors.remembered_devices,
    }


async def _done(desk: Desk, action: str, before: Account, after: UserState | None, sentence: str) -> None:
    if after is None:
        raise Refused(f"the user {before.state.email} has just been deleted")
    await desk.note(action, after.id, _facts(before.state), _facts(after))
    print(f"{after.email} {sentence}")


def _facts(user: UserState) -> dict[str, object]:
    return {"roles": list(user.roles), "locked": user.locked, "epoch": user.epoch}


def _row(account: Account) -> dict[str, object]:
    user = account.state
    return {
        "email": user.email,
        "id": user.id,
        "roles": list(user.roles),
        "locked": user.locked,
        "verified": user.email_verified,
        "created": as_datetime(account.created_at).isoformat(timespec="seconds"),
        "name": user.name,
    }


def _email(text: str) -> str:
    try:
        return canonical_email(text)
    except InvalidEmail as fault:
        raise Refused(f"{text!r} {fault}") from None


def _roles(roles: list[str]) -> list[str]:
    for role in roles:
        if ROLE.fullmatch(role) is None:
            raise Refused(f"{role!r} is no role name: letters, digits and _ . : - are taken, 64 at most")
    return roles


async def _new_password(desk: Desk) -> str:
    return await desk.passwords.hash(await typed_password(desk.passwords))
