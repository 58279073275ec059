"""Attempts to log in: the filters of their lists, and an attempt as docs/login-log.md has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import After, Country, Next, Query, Time, Uuid
from gatekeeper.journal.attempts import Result
from policies.anomalies import Signal
from policies.model import Reason

_LONGEST = 254
Text = Annotated[str, Field(max_length=_LONGEST)]
Area = Annotated[
    str,
    Field(description="South, west, north and east edge in degrees", examples=["47.1,8.2,47.6,8.9"], max_length=80),
]
Moment = Annotated[str, Field(description="ISO 8601, UTC unless it says otherwise", examples=["2026-03-01T22:30"])]
Network = Annotated[str, Field(max_length=64, description="An address or a network", examples=["192.0.2.0/24"])]
WantedCountry = Annotated[
    str,
    Field(
        json_schema_extra={"pattern": "^([A-Za-z]{2}|unknown)$"},  # the views say it in better words
        description="ISO 3166-1 alpha-2, or unknown",
        examples=["CH"],
    ),
]


class MatchingLogins(Query):
    """Attempts for which all that is given holds."""

    user: Annotated[Text, Field(description="An account's id, or an e-mail as typed")] | None = None
    result: Result | None = None
    reason: Reason | None = None
    address: Network | None = None
    country: WantedCountry | None = None
    area: Area | None = None
    device: Annotated[Text, Field(description="A kind of device, or unknown", examples=["phone"])] | None = None
    browser: Annotated[Text, Field(description="Or unknown", examples=["Firefox"])] | None = None
    os: Annotated[Text, Field(description="Or unknown", examples=["Windows"])] | None = None
    method: Annotated[Text, Field(description="How somebody signed in", examples=["password"])] | None = None
    signal: Signal | None = None
    session: Annotated[Text, Field(description="The session that began")] | None = None


class LoginsQuery(MatchingLogins):
    """The same within a time: the ``range`` until now, or from ``since`` on."""

    range: Annotated[Literal["15m", "1h", "24h", "7d", "30d"], Field(description="How far back, until now")] | None = (
        None
    )
    since: Moment | None = None
    until: Moment | None = None


class LoginsPage(LoginsQuery):
    """A page of them."""

    after: After = None


class Place(TypedDict):
    """Where an address is, as far as the database of places knows."""

    region: str | None
    city: str | None
    latitude: float | None
    longitude: float | None
    accuracy_km: float | None


class Device(TypedDict):
    """What an attempt came from, as it said itself; ``id`` is that of the browser's signed cookie."""

    kind: str | None
    browser: str | None
    browser_version: str | None
    os: str | None
    os_version: str | None
    id: str | None
    user_agent: str


class Attempt(TypedDict):
    """One attempt to log in; what is not known is null."""

    id: Uuid
    time: Time
    email: str
    user_id: Uuid | None
    result: Result
    reason: Reason | None
    method: str
    factor: str | None
    address: str
    country: Country | None
    place: Place
    asn: int | None
    as_org: str | None
    device: Device
    fingerprint: str | None
    session: str | None
    signals: list[str]
    evidence: dict[str, Any] | None
    risk: int | None
    action: str | None
    request_id: str
    latency_ms: float | None


class Attempts(TypedDict):
    """A page of attempts."""

    logins: list[Attempt]
    next: Next


class Journey(TypedDict):
    """From one login to the next: ``km`` and ``kmh`` are null where a place is unknown or too near to say."""

    seconds: float
    km: float | None
    kmh: float | None


class OneAttempt(TypedDict):
    """An attempt, the last good login of its account before it, and how far that is."""

    login: Attempt
    before: Attempt | None
    journey: Journey | None
