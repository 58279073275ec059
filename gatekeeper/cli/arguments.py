"""What several commands take: kinds of arguments, for argparse's ``type``, and who gives them."""

from __future__ import annotations

import argparse
import getpass

from gatekeeper.config.types import parse_duration
from gatekeeper.inbound import parse_address
from policies.model import Address


def header(text: str) -> tuple[str, str]:
    """A header field as it stands in a request: ``Name: value``."""
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no header field, such as 'X-Env: test'")
    return name, value.strip(" \t")


def address(text: str) -> Address:
    """An IP address."""
    found = parse_address(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address")
    return found


def duration(text: str) -> float:
    """A duration such as ``15m``, in seconds."""
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def whoami() -> str:
    """The operating system's user, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
