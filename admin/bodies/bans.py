"""Bans."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.ban_lists import Order
from admin.bodies.common import Body, Done, Next, Paged, Query, Time, Why
from policies.bans import BanKind, Source

Subject = Annotated[
    str,
    Field(
        max_length=512,
        description="An address, a network, a country, an e-mail, `user:` and an id, or `agent:` and a User-Agent",
        examples=["192.0.2.0/24", "CH", "mallory@example.com"],
    ),
]
Length = Annotated[str, Field(description="A duration; without one it is for good", examples=["15m", "30d"])]
Sure = Annotated[Literal["yes", True], Field(description="For what would meet whoever asks")]


Find = Annotated[
    str | None,
    Field(
        max_length=254,
        description="An address or a network: what holds it or lies in it. Anything else: part of a subject, e-mail or"
        " reason, among the newest 200,000",
        examples=["192.0.2.7", "198.51.", "scans"],
    ),
]


class FilterQuery(Query):
    """Which bans."""

    find: Find = None
    kind: BanKind | None = None
    source: Source | None = None


class OrderedQuery(FilterQuery):
    """Which bans in force, and in which order."""

    order: Order | None = None


class BansQuery(OrderedQuery, Paged):
    """The same in pages."""


class EndedQuery(FilterQuery, Paged):
    """Which bans that are over, in pages."""


class SubjectQuery(Query):
    """Exactly one subject."""

    subject: Subject


class Ban(TypedDict):
    """A ban; without ``until`` it is for good."""

    subject: str
    kind: BanKind
    label: str | None
    source: Source
    reason: str
    by: str | None
    since: Time
    until: Time | None


class PastBan(Ban):
    """A ban that may be over, by whom if it was lifted."""

    lifted: Time | None
    lifted_by: str | None


class Bans(TypedDict):
    """A page of bans."""

    bans: list[Ban]
    next: Next


class EndedBans(TypedDict):
    """A page of bans that are over."""

    bans: list[PastBan]
    next: Next


class History(TypedDict):
    """All bans of one subject."""

    bans: list[PastBan]


class AddBan(Body):
    """Whom to ban."""

    subject: Subject
    length: Length | None = None
    why: Why
    sure: Sure | None = None


class LiftBan(Body):
    """Whose ban to lift."""

    subject: Subject


class BanDone(Done):
    """The ban that it was."""

    ban: Ban


class ImportBans(Body):
    """A list, a subject a line, put in force as a whole or not at all."""

    list: str
    length: Length | None = None
    why: Why
    sure: Sure | None = None


class BansImported(Done):
    """How many of the list are in force."""

    bans: int
