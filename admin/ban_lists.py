"""What lists of bans are asked for: filters as addresses, forms and calls have them, read strictly. For the views about
bans; answered by ``gatekeeper.store.panel_bans``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Protocol

from admin.paging import filled, number_of, one_of, place_of, said_place
from gatekeeper.bans.desk import USER_PREFIX
from policies.bans import AGENT_PREFIX, Ban, BanKind, Source

FILTERS: Final = {"find": "Search", "kind": "Kind", "source": "Source"}
TEXTS_REACH: Final = 200_000  # bans among which a text is looked for
_FIRST_BYTES: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,2}\.|\d{1,3}(?:\.\d{1,3}){1,2}")


class Order(StrEnum):
    """How bans in force are listed."""

    NEWEST = "newest"
    ENDS = "ends"  # what is over first


@dataclass(frozen=True, slots=True)
class BanFilter:
    """Bans for which all that is set holds: on what holds or lies in ``network``, or with ``text`` in their subject,
    e-mail or reason (among the newest ``TEXTS_REACH``).
    """

    network: IPv4Network | IPv6Network | None = None
    text: str | None = None
    kind: BanKind | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class BanPlace:
    """The last row of a page, the next of which begins behind it: its number, and its end in Unix seconds where that
    is what the list goes by (None: for good).
    """

    number: int
    end: float | None = None


Numbered = tuple[int, Ban]


class BanReader(Protocol):
    """Knows bans, each with its number. Raises StoreUnavailable."""

    async def in_force(
        self, wanted: BanFilter, now: float, *, count: int, order: Order = Order.NEWEST, after: BanPlace | None = None
    ) -> list[Numbered]: ...

    async def ended(
        self, wanted: BanFilter, now: float, *, count: int, after: BanPlace | None = None
    ) -> list[Numbered]:
        """Those that were lifted or are over, the latest ending first."""

    async def beyond_reach(self, now: float, *, ended: bool) -> bool:
        """Whether there are more than a text is looked for in."""


def bans_asked(query: Mapping[str, str]) -> tuple[dict[str, str], BanFilter]:
    """What a query says, and what it means. Raises Problem (422)."""
    filters = filled(query, FILTERS)
    find = filters.get("find", "")
    network = network_in(find)
    return filters, BanFilter(
        network=network,
        text=None if network is not None or not find else _bare(find),
        kind=one_of(BanKind, filters.get("kind"), "kind"),
        source=one_of(Source, filters.get("source"), "source"),
    )


def network_in(text: str) -> IPv4Network | IPv6Network | None:
    """An address, a network, or the first bytes of addresses such as ``198.51.``; None for anything else."""
    given = text.strip()
    if _FIRST_BYTES.fullmatch(given):
        parts = given.rstrip(".").split(".")
        given = f"{'.'.join([*parts, *['0'] * (4 - len(parts))])}/{8 * len(parts)}"
    try:
        return ip_network(given, strict=False)
    except ValueError:
        return None


def order_of(query: Mapping[str, str]) -> Order:
    """Raises Problem (422)."""
    return one_of(Order, query.get("order") or None, "order") or Order.NEWEST


def place_in_force(text: str | None, order: Order) -> BanPlace | None:
    """Where a page of bans in force begins. Raises Problem (422)."""
    if order is Order.ENDS:
        return place_by_end(text)
    number = number_of(text)
    return None if number is None else BanPlace(number)


def place_by_end(text: str | None) -> BanPlace | None:
    """The same of a list that goes by ends. Raises Problem (422)."""
    place = place_of(text)
    return None if place is None else BanPlace(number_of(place.id) or 0, place.at or None)


def said(last: Numbered, *, by_end: bool) -> str:
    """The place of a row as addresses have it."""
    number, ban = last
    return said_place(ban.ended_at or 0.0, str(number)) if by_end else str(number)


def _bare(text: str) -> str:
    """Without the words by which people type a kind."""
    for prefix in (USER_PREFIX, AGENT_PREFIX):
        if text.lower().startswith(prefix) and len(text) > len(prefix):
            return text[len(prefix) :].strip()
    return text
