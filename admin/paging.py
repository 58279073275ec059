"""Filters and places of lists as addresses have them: read strictly, written back, shown as chips. For the views."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeVar
from urllib.parse import urlencode

from admin.lists import Place
from gatekeeper.config.types import parse_duration
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.questions import Area

Choice = TypeVar("Choice", bound=StrEnum)
SHOWN: Final = 50  # rows of a list
UNKNOWN: Final = "unknown"  # in the place of a country
_LONGEST: Final = 254  # characters of a filter
_EDGE: Final = r"(-?\d{1,3}(?:\.\d{1,4})?)"
_AREA: Final = re.compile(",".join([_EDGE] * 4))
_EARLIEST: Final = -62_135_596_800.0  # Unix seconds between which there are datetimes: the years 1
_LATEST: Final = 253_402_300_799.0  # to 9999
_PLACE: Final = re.compile(r"([0-9]{1,12}\.[0-9]{1,6})_([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force: its field, its words, and the address without it."""

    label: str
    value: str
    without: str


def filled(query: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """The filters of a query that say something, in the order of ``names``. Raises Problem (422)."""
    found = {name: query[name].strip() for name in names if query.get(name, "").strip()}
    for name, value in found.items():
        if len(value) > _LONGEST or not value.isprintable():
            raise invalid(name, f"{names[name]}: one printable line of at most {_LONGEST} characters.")
    return found


def chips(filters: Mapping[str, str], names: Mapping[str, str], said: Mapping[str, str] | None = None) -> list[Chip]:
    """One for each filter; ``said`` are values that people know by other words."""
    return [
        Chip(
            names[name],
            (said or {}).get(name, value),
            query_of({key: other for key, other in filters.items() if key != name}),
        )
        for name, value in filters.items()
    ]


def query_of(filters: Mapping[str, str]) -> str:
    """As the end of an address, question mark included; nothing where there is none."""
    return f"?{urlencode(filters)}" if filters else ""


def place_of(text: str | None) -> Place | None:
    """Where a page begins. Raises Problem (422)."""
    if not text:
        return None
    match = _PLACE.fullmatch(text)
    if match is None or float(match[1]) > _LATEST:
        raise invalid("after", "This page does not exist; begin with the first one.")
    return Place(float(match[1]), match[2])


def place_by_uuid(text: str | None) -> Place | None:
    """The same for a list of what UUIDs name. Raises Problem (422)."""
    place = place_of(text)
    if place is not None:
        try:
            uuid.UUID(place.id)
        except ValueError:
            raise invalid("after", "This page does not exist; begin with the first one.") from None
    return place


def said_place(at: float, key: str) -> str:
    """A place as addresses have it."""
    return f"{at:.6f}_{key}"


def number_of(text: str | None) -> int | None:
    """Where a page of a numbered list begins. Raises Problem (422)."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise invalid("after", "This page does not exist; begin with the first one.")
    return int(text)


def network_of(text: str | None) -> IPv4Network | IPv6Network | None:
    """An address or a network in CIDR. Raises Problem (422)."""
    if not text:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise invalid("address", "That is no address and no network such as 192.0.2.0/24.") from None


def country_of(text: str | None) -> str | None:
    """Two letters of ISO 3166, or "" for ``unknown``. Raises Problem (422)."""
    if not text:
        return None
    if text == UNKNOWN:
        return ""
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise invalid("country", f"A country is two letters, such as CH, or {UNKNOWN}.")
    return text.upper()


def area_of(text: str | None) -> Area | None:
    """Its south, west, north and east edge in degrees: ``47.1,8.2,47.6,8.9``. Raises Problem (422)."""
    if not text:
        return None
    match = _AREA.fullmatch(text)
    edges = [float(edge) for edge in match.groups()] if match else []
    if not edges or edges[0] > edges[2] or edges[1] > edges[3]:
        raise invalid("area", "An area is its south, west, north and east edge in degrees, such as 47.1,8.2,47.6,8.9.")
    return Area(*edges)


def said_area(area: Area) -> str:
    """An area as addresses have it."""
    return ",".join(f"{edge:g}" for edge in (area.south, area.west, area.north, area.east))


def moment_of(text: str | None, name: str) -> float | None:
    """A time such as 2026-03-01T22:30 (UTC unless it says otherwise), in Unix seconds. Raises Problem (422)."""
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        seconds = (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        seconds = math.inf
    if not _EARLIEST <= seconds <= _LATEST:
        raise invalid(name, "That is no time such as 2026-03-01T22:30.")
    return seconds


def ago_of(text: str | None, name: str, now: float) -> float | None:
    """A length of time such as 30d, as the moment (Unix seconds) so long before now. Raises Problem (422)."""
    if not text:
        return None
    try:
        return now - parse_duration(text)
    except ValueError as fault:
        raise invalid(name, f"{str(fault).capitalize()}.") from None


def one_of(choices: type[Choice], text: str | None, name: str) -> Choice | None:
    """One of a few words. Raises Problem (422)."""
    if not text:
        return None
    try:
        return choices(text)
    except ValueError:
        raise invalid(name, f"This is one of {', '.join(choices)}.") from None
