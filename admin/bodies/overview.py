"""What happens now, the open signals, and attempts by place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.bans import Sure
from admin.bodies.common import Body, Country, Done, Query, Time, Why
from admin.bodies.logins import Attempt, MatchingLogins

AtBar = Annotated[
    str,
    Field(
        json_schema_extra={"pattern": "^[0-9]{1,2}$"},  # the view says it in better words
        description="A bar of the range from 1 on, or 0 for all of it",
    ),
]
SignalWhy = Annotated[Why, Field(description="Goes into the audit log; the signals' names where there is none")]


class Now(TypedDict):
    """Sessions, bans and open signals as they are; attempts by result of the last quarter of an hour."""

    sessions: int
    requests_per_second: float
    bans: int
    open_signals: int
    success: int
    failure: int
    blocked: int


class Results(TypedDict):
    """Attempts by result."""

    success: int
    failure: int
    blocked: int


class OverviewQuery(Query):
    """How far back it looks: a day, unless another range is given."""

    range: Annotated[Literal["24h", "7d", "30d"], Field(description="How far back, until now")] | None = None


class Bar(Results):
    """Attempts by result of a part of the range."""

    since: Time
    until: Time


class Line(TypedDict):
    """Attempts that had this in common; ``others`` is the rest, ``unknown`` what nobody knows."""

    value: str
    attempts: int


class Part(TypedDict):
    """A part of the gate, such as redis or an upstream's target."""

    name: str
    well: bool


class Mail(TypedDict):
    """Messages that wait, and those that were given up."""

    waiting: int
    given_up: int


class Overview(TypedDict):
    """What happens now, and over a range: attempts by result and by what they had in common, whose were refused most
    (of those since ``refused_since``, where there were more than are looked at), and whether everything is well.
    """

    now: Now
    range: str
    totals: Results
    bars: list[Bar]
    devices: list[Line]
    browsers: list[Line]
    systems: list[Line]
    methods: list[Line]
    reasons: list[Line]
    countries: list[Line]
    refused_addresses: list[Line]
    refused_emails: list[Line]
    refused_since: Time | None
    health: list[Part]
    mail: Mail


class OpenSignal(TypedDict):
    """What is odd about one ``subject``: its riskiest ``attempt``, how many there are, and from when to when."""

    subject: str
    attempts: int
    first: Time
    last: Time
    attempt: Attempt


class OpenSignals(TypedDict):
    """The newest, and how many there are: of attempts since ``since``, where there were more than are looked at."""

    total: int
    since: Time | None
    signals: list[OpenSignal]


class SignalBody(Body):
    """What is done about an open signal; it is closed by that too."""

    why: SignalWhy | None = None


class SignalBan(SignalBody):
    """A ban of the address that the attempt came from."""

    sure: Sure | None = None


class SignalDone(Done):
    """The same with whose signals are closed."""

    subject: str


class MapQuery(MatchingLogins):
    """Attempts of a ``range``, or of its bar ``at`` alone, for which all else that is given holds."""

    range: Annotated[Literal["24h", "7d", "30d", "15m", "1h"], Field(description="How far back, until now")] | None = (
        None
    )
    at: AtBar | None = None


class Spot(TypedDict):
    """Attempts from one place, to a tenth of a degree."""

    country: Country
    city: str | None
    latitude: float | None
    longitude: float | None
    success: int
    failure: int
    blocked: int


class Spots(TypedDict):
    """The most attempts first; ``complete`` is false where there are more places than are looked at."""

    since: Time
    until: Time
    complete: bool
    unplaced: int
    places: list[Spot]
