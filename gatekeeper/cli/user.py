"""``gatekeeper user``: accounts from the command line. Every change is in the audit log as ``cli:<user>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gatekeeper.app.mail import passwords_of
from gatekeeper.bans.desk import Actor
from gatekeeper.cli import privacy, stores
from gatekeeper.cli.arguments import whoami
from gatekeeper.cli.invite import invitations
from gatekeeper.cli.notices import notices
from gatekeeper.cli.tables import print_rows
from gatekeeper.cli.typed import typed_password
from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.config.types import parse_duration
from gatekeeper.errors import Problem, Refused
from gatekeeper.identity.accounts import ROLE, Account, Accounts
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.factor_desk import TOTP, FactorDesk, factor_facts
from gatekeeper.identity.passwords import OWASP, Passwords
from gatekeeper.identity.user_desk import UserDesk
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.factors import PostgresFactors
from policies.model import Reason


@dataclass(frozen=True, slots=True)
class Desk:
    """What a user command works with."""

    accounts: Accounts
    acts: UserDesk
    factors: FactorDesk
    passwords: Passwords
    by: Actor
    now: float
    config: Config

    async def find(self, email: str) -> Account:
        """The account of a typed e-mail. Raises Refused."""
        account = await self.accounts.find_by_email(_email(email))
        if account is None:
            raise Refused(f"there is no user {email}")
        return account


Command = Callable[[Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser(
        "user",
        help="accounts: add, list, show, passwd, expire-password, role, lock, unlock, logout, invite, export, erase",
    )
    commands = group.add_subparsers(dest="user_command", required=True, metavar="COMMAND")
    add = _command(commands, "add", _add, "add a user; the password is asked for, or one line on standard input")
    add.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role; may be given again")
    add.add_argument("--name", help="the person's name")
    add.add_argument("--must-change", action="store_true", help="the first login has to choose another password")
    listing = commands.add_parser("list", help="every user")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    show = _command(commands, "show", _show, "one user")
    show.add_argument("--json", action="store_true", help="JSON lines")
    passwd = _command(commands, "passwd", _passwd, "set a new password; every session ends")
    passwd.add_argument("--must-change", action="store_true", help="the next login has to choose another")
    summary = "whoever logs in by the password has to choose another first; every session ends"
    _command(commands, "expire-password", _expire_password, summary)
    role = _command(commands, "role", _role, "set the roles, in force on the next request; none takes all away")
    role.add_argument("role", nargs="*", metavar="ROLE")
    naming = _command(commands, "rename", _rename, "what the person is called; without NAME it is nothing")
    naming.add_argument("name", nargs="?", metavar="NAME")
    _command(commands, "lock", _lock, "no login, and every session ends")
    _command(commands, "unlock", _unlock, "logins again")
    _command(commands, "logout", _logout, "end every session")
    inviting = _command(commands, "invite", _invite, "print (and mail) a link that makes one account, for this e-mail")
    inviting.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role; may be given again")
    inviting.add_argument("--expires", metavar="D", help="life of the link, such as 12h or 7d")
    summary = "remove every second factor, recovery code and remembered device; every session ends"
    _command(commands, "reset-factors", _reset_factors, summary)
    summary = "remove one second factor: totp, or a passkey by its id or name; every session ends"
    removing = _command(commands, "remove-factor", _remove_factor, summary)
    removing.add_argument("factor", metavar="FACTOR")
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
        config, postgres = loaded.config, open_stores.postgres
        accounts = Accounts(PostgresAccounts(postgres), open_stores.live)
        passwords, owners = passwords_of(config, OWASP), notices(config, postgres)
        factors = FactorDesk(accounts, PostgresFactors(postgres), open_stores.journal, owners)
        acts = UserDesk(
            accounts,
            passwords,
            open_stores.journal,
            owners,
            None if config.registration_mode == "closed" else invitations(config, postgres),
            invitation_ttl=config.registration.invitation_ttl,
        )
        try:
            by = Actor(f"cli:{whoami()}")
            await args.command(Desk(accounts, acts, factors, passwords, by, open_stores.now, config), args)
        except Problem as refusal:
            raise _refused(refusal, args.email) from None
        finally:
            passwords.close()

    return stores.carry_out(work, loaded)


def _refused(refusal: Problem, email: str) -> Refused:
    if refusal.reason is Reason.EMAIL_TAKEN:
        return Refused(f"there is a user {_email(email)} already")
    return Refused(refusal.detail.rstrip("."))


async def _add(desk: Desk, args: argparse.Namespace) -> None:
    email, roles = _email(args.email), _roles(args.role)
    if await desk.accounts.find_by_email(email) is not None:
        raise Refused(f"there is a user {email} already")  # before anybody is asked for a password
    password = await typed_password(desk.passwords)
    user = await desk.acts.create(
        email, password, desk.by, desk.now, name=args.name, roles=roles, must_change=args.must_change
    )
    print(f"added {user.email} ({user.id})")


async def _invite(desk: Desk, args: argparse.Namespace) -> None:
    email, roles = _email(args.email), _roles(args.role)
    life = None
    if args.expires is not None:
        try:
            life = parse_duration(args.expires)
        except ValueError as fault:
            raise Refused(f"--expires: {fault}") from None
    _, link = await desk.acts.invite(email, roles, desk.by, desk.now, life=life)
    print(link)
    if desk.config.mail.smtp.host is not None:
        print(f"it is mailed to {email} as well", file=sys.stderr)


async def _list(desk: Desk, args: argparse.Namespace) -> None:
    print_rows([_row(account) for account in await desk.accounts.all()], as_json=args.json)


async def _show(desk: Desk, args: argparse.Namespace) -> None:
    account = await desk.find(args.email)
    factors = await desk.factors.of_user(account.state.id, desk.now)
    print_rows([{**_row(account), **factor_facts(factors)}], as_json=args.json)


async def _passwd(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    password = await typed_password(desk.passwords)
    await desk.acts.set_password(user.id, password, desk.by, "", desk.now, must_change=args.must_change)
    print(f"{user.email} has a new password; every session has ended")


async def _expire_password(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.acts.expire_password(user.id, desk.by, "", desk.now)
    print(f"{user.email} has to choose another password at the next login by it; every session has ended")


async def _role(desk: Desk, args: argparse.Namespace) -> None:
    user, roles = (await desk.find(args.email)).state, _roles(args.role)
    await desk.acts.set_roles(user.id, roles, desk.by, "", desk.now)
    print(f"{user.email} has the roles: {', '.join(sorted(set(roles))) or 'none'}")


async def _rename(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.acts.rename(user.id, args.name, desk.by, "", desk.now)
    print(f"{user.email} is called {args.name.strip()}" if (args.name or "").strip() else f"{user.email} has no name")


async def _lock(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.acts.lock(user.id, desk.by, "", desk.now)
    print(f"{user.email} is locked; every session has ended")


async def _unlock(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.acts.unlock(user.id, desk.by, "", desk.now)
    print(f"{user.email} may log in again")


async def _logout(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.acts.log_out(user.id, desk.by, "", desk.now)
    print(f"{user.email} is logged out everywhere")


async def _reset_factors(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    await desk.factors.reset(user.id, desk.by, "", desk.now)
    print(
        f"{user.email} has no second factor any more, and every session has ended;"
        " a password alone logs in, or asks for a new factor"
    )


async def _remove_factor(desk: Desk, args: argparse.Namespace) -> None:
    user = (await desk.find(args.email)).state
    passkeys = (await desk.factors.of_user(user.id, desk.now)).passkeys
    named = [one.id for one in passkeys if args.factor in (one.id, one.name)]
    if len(named) > 1:
        ids = ", ".join(named)
        raise Refused(f"{user.email} has {len(named)} passkeys of that name: say which by its id, one of {ids}")
    await desk.factors.remove(user.id, named[0] if named else args.factor, desk.by, "", desk.now)
    what = "authenticator app" if not named and args.factor == TOTP else "passkey"
    print(f"{user.email} has lost that {what}, and every session has ended")


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
