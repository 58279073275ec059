"""``gatekeeper demo``: thirty days of a made-up company in an empty database, to see the panel alive."""

from __future__ import annotations

import argparse
import secrets

from gatekeeper.app.demo import Filler
from gatekeeper.app.mail import passwords_of
from gatekeeper.bootstrap import secret_of
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import Refused
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.passwords import OWASP
from gatekeeper.identity.setup import ROLE as ADMIN_ROLE

ADMIN = "admin@example.com"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = "fill an empty database with thirty days of a made-up company, and make an admin to look at it"
    parser = subparsers.add_parser("demo", help=summary, description=summary)
    parser.add_argument("--email", default=ADMIN, help=f"of the admin (default: {ADMIN})")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another company for each (default: 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry it out; 0 good. Faults are raised for ``main`` to print."""
    try:
        email = canonical_email(args.email)
    except InvalidEmail as fault:
        raise Refused(f"--email: {args.email!r} {fault}") from None
    password = secrets.token_urlsafe(12)

    async def work(desk: Desk) -> None:
        passwords = passwords_of(loaded.config, OWASP)
        try:
            hashed = await passwords.hash(password)
        finally:
            passwords.close()
        secret = secret_of(loaded.config.storage)
        filler = Filler(desk.postgres, desk.redis, desk.live, loaded, secret, seed=args.seed, now=desk.now)
        filled = await filler.fill(email, hashed)
        print(
            f"{filled.users} users, {filled.attempts:,} logins in 30 days, {filled.sessions:,} sessions"
            f" ({filled.alive} alive), {filled.bans} bans"
        )

    done = carry_out(work, loaded)
    print(f"Sign in at {loaded.config.panel_url}{loaded.config.prefix}/admin/")
    print(f"  e-mail    {email}")
    print(f"  password  {password}   (shown once)")
    if ADMIN_ROLE in loaded.config.mfa.require_for_roles:
        print("It asks for a second factor to be added: any authenticator app will do.")
    return done
