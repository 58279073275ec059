"""``gatekeeper hash``: a password's Argon2id hash, for whoever writes accounts by other means; or a check of one."""

from __future__ import annotations

import argparse
import asyncio

from gatekeeper.app.mail import passwords_of
from gatekeeper.cli.typed import typed_password
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import Refused
from gatekeeper.identity.passwords import OWASP, Passwords


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = (
        "Print the Argon2id hash (PHC string) of a password, as the table `passwords` has it. The password is asked for"
        " at a terminal, else it is one line on standard input; it must be one that the configuration takes."
    )
    parser = subparsers.add_parser("hash", help="the hash of a password", description=summary)
    parser.add_argument(
        "--check", metavar="HASH", help="say whether the password is the one of this hash: exit 0, or 1 if it is not"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Print the hash, or whether it fits; 0 good. Raises Refused."""
    passwords = passwords_of(loaded.config, OWASP)
    try:
        if args.check is None:
            print(asyncio.run(_hash(passwords)))
        else:
            asyncio.run(_check(passwords, args.check))
    finally:
        passwords.close()
    return 0


async def _hash(passwords: Passwords) -> str:
    return await passwords.hash(await typed_password(passwords))


async def _check(passwords: Passwords, hashed: str) -> None:
    password = await typed_password(passwords, new=False)
    if not await passwords.verify(hashed, password):
        raise Refused("the password is not the one of this hash")
    print("the password is the one of this hash" + (", which is outdated" if passwords.outdated(hashed) else ""))
