"""What several commands take: kinds of arguments, for argparse's ``type``, and who gives them."""

from __future__ import annotations

import argparse
import getpass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

from gatekeeper.config.types import parse_duration
from gatekeeper.inbound import parse_address
from policies.model import Address


def header(text: str) -> tuple[str, str]:
    """A header field as it stands in a request: ``Name: value``."""
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no header field, such as 'X-Env: test'")
    return name, value.strip(" \t")


def moment(text: str) -> float:
    """A date (its beginning) or a date and time as RFC 3339 has it, UTC unless it says otherwise; Unix seconds."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 2027-01-31 or 2027-01-31T08:00:00Z") from None


def first_of_month(text: str) -> float:
    """YYYY-MM-01, in Unix seconds."""
    seconds = moment(text)
    found = datetime.fromtimestamp(seconds, tz=UTC)
    if len(text) != len("YYYY-MM-01") or found.day != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not the first of a month, such as 2027-01-01")
    return seconds


def network(text: str) -> IPv4Network | IPv6Network:
    """An IP address or a network in CIDR."""
    try:
        return ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an IP address nor a network") from None


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
