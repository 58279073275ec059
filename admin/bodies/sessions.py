"""Sessions: which are wanted, one as the record and Redis have it, and ending them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from admin.bodies.common import After, Body, Country, Done, Next, Query, Time, Uuid, Why
from admin.bodies.logins import Network, Text, WantedCountry
from admin.lists import OpenedBy, ShownFactor

Ago = Annotated[str, Field(pattern=r"^[0-9.]+(ms|s|m|h|d|w)$", examples=["7d"])]


class SessionFilter(BaseModel):
    """What queries and bodies may ask of open sessions; all that is given holds."""

    user: Annotated[Text, Field(description="A part of the owner's e-mail")] | None = None
    address: Network | None = None
    country: WantedCountry | None = None
    agent: Annotated[Text, Field(description="A part of the User-Agent")] | None = None
    city: Annotated[Text, Field(description="A part of the name of a city")] | None = None
    method: Annotated[OpenedBy, Field(strict=False, description="What came first")] | None = None
    factor: Annotated[ShownFactor, Field(strict=False, description="What came besides, when it began")] | None = None
    age: Annotated[Ago, Field(description="Begun longer ago than this")] | None = None
    idle: Annotated[Ago, Field(description="Not refreshed for so long")] | None = None


class MatchingSessions(SessionFilter, Query):
    """Open sessions."""


class SessionsPage(MatchingSessions):
    """A page of them."""

    after: After = None


class EndSessions(SessionFilter, Body):
    """Which sessions end; something of the filter has to be given."""

    why: Why


class EndSession(Body):
    """Ending one needs no reason, as a logout does not."""

    why: Why | None = None


class Session(TypedDict):
    """What the record says, and of a session that lives what Redis says; null where it has ended."""

    id: str
    user_id: Uuid
    email: str
    started_at: Time
    seen_at: Time | None
    expires_at: Time
    refreshed_at: Time | None
    generation: int | None
    acr: str | None
    proved_at: Time | None
    second_factor_at: Time | None
    must_enrol: bool | None
    connections: int
    address: str
    country: Country | None
    city: str | None
    device: str
    user_agent: str
    amr: list[str]


class Sessions(TypedDict):
    """A page of sessions."""

    sessions: list[Session]
    next: Next


class EndedSessions(Done):
    """How many ended."""

    ended: int


class SessionCount(TypedDict):
    """How many there are by the durable record; not ``whole``: at least so many."""

    count: int
    whole: bool
