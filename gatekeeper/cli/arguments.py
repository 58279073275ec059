"""Kinds of command-line arguments that several commands take, for argparse's ``type``."""

from __future__ import annotations

import argparse

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
