"""Who uses up a limit, in the panel's words: with the list behind it and what a ban would be on. Used by
``admin.views.limits``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final
from urllib.parse import quote

from admin.limit_use import Meter, Use
from gatekeeper.bans.desk import USER_PREFIX
from gatekeeper.identity.tallies import Part
from policies.rates import EVERYBODY, is_key

_ACCOUNT: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH: Final = re.compile(r"[0-9a-f]{32}")
_BRIEF: Final = 8  # letters of what nobody reads whole


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of who it is: its text, and the panel's page behind it."""

    text: str
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a counter is for; ``ban`` is what to type to ban them, ``own`` says that it is the one who looks."""

    pieces: tuple[Piece, ...]
    ban: str | None
    own: bool


def named(meter: Meter, use: Use, names: Mapping[str, str], mine: frozenset[str]) -> Whom:
    """``names`` are e-mails by ids and hashes, ``mine`` the id and the address of the one who looks."""
    parts = list(zip(meter.of, use.who, strict=True))
    addresses = [value for _, value in parts if _is_address(value)]
    accounts = [value for _, value in parts if _ACCOUNT.fullmatch(value) and value in names]
    ban = addresses[0] if addresses else f"{USER_PREFIX}{accounts[0]}" if accounts else None
    own = not mine.isdisjoint(addresses or accounts)
    return Whom(tuple(_piece(part, value, names) for part, value in parts), ban, own)


def hashes(meter: Meter, use: Use) -> frozenset[str]:
    """The e-mails among who it is that are kept as hashes."""
    parts = zip(meter.of, use.who, strict=True)
    return frozenset(value for part, value in parts if part in {Part.ACCOUNT, Part.MAILBOX} and _HASH.fullmatch(value))


def _piece(part: Part, value: str, names: Mapping[str, str]) -> Piece:
    if _is_address(value):
        return Piece(value, f"logins?address={quote(value, safe='')}")
    if part in {Part.ACCOUNT, Part.MAILBOX} and _HASH.fullmatch(value):
        email = names.get(value)
        if email is None:
            return Piece(f"an e-mail known by its hash ({value[:_BRIEF]}…)")
        return Piece(email, f"logins?user={quote(email, safe='')}")
    if _ACCOUNT.fullmatch(value):
        return Piece(names[value], f"users/{value}") if value in names else Piece(f"an account that is gone ({value})")
    return _other(part, value)


def _other(part: Part, value: str) -> Piece:
    if value == EVERYBODY:
        return Piece("everybody", "logins")
    if is_key(value):
        return Piece(f"API key {value.partition(':')[2]}")
    match part:
        case Part.SESSION:
            return Piece(f"session {value[:_BRIEF]}…", f"sessions/{quote(value, safe='')}")
        case Part.DEVICE:
            return Piece("a browser of its own")
        case Part.HEADER:
            return Piece(f"a value known by its hash ({value.removeprefix('h:')[:_BRIEF]}…)")
    return Piece(value)


def _is_address(value: str) -> bool:
    try:
        ip_network(value)
    except ValueError:
        return False
    return True
