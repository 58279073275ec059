"""Passwords as people type them at a command: never an argument, which others on the machine could read."""

from __future__ import annotations

import getpass
import sys

from gatekeeper.errors import Refused
from gatekeeper.identity.passwords import Passwords


async def typed_password(passwords: Passwords, *, new: bool = True) -> str:
    """Asked for at a terminal (twice where it is ``new``), else one line of standard input.

    Raises Refused, also for a new one that the rules do not take.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if new and getpass.getpass("Again: ") != password:
            raise Refused("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\n")
        if not password:
            raise Refused("a password is expected as one line on standard input")
    fault = await passwords.fault(password) if new else None
    if fault:
        raise Refused(f"the password {fault}")
    return password
