"""The audit log, its seals, and what happens right now."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import NextNumber, Paged, Query, Time
from admin.bodies.logins import Moment, Text


class ChangesPage(Paged):
    """Changes for which all that is given holds."""

    action: Annotated[Text, Field(description="A name or its beginning", examples=["user."])] | None = None
    actor: Annotated[Text, Field(description="The id of an account, or cli: and a name")] | None = None
    subject: Annotated[Text, Field(description="Exactly what or whom it was done to")] | None = None
    since: Moment | None = None
    until: Moment | None = None


class Change(TypedDict):
    """An entry of the audit log."""

    id: int
    time: Time
    actor: str
    actor_email: str | None
    action: str
    subject: str
    subject_email: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None
    request_id: str | None


class Changes(TypedDict):
    """A page of changes."""

    changes: list[Change]
    next: NextNumber


class Sealed(TypedDict):
    """The seal over an entry, null where it is not sealed yet; whether both hold."""

    number: int | None
    at: Time | None
    holds: bool


class SealedChange(Change):
    """An entry with its seal."""

    sealed: Sealed


class Newest(TypedDict):
    """The newest seal."""

    number: int
    hash: str
    at: Time


class Verified(TypedDict):
    """Whether anybody changed the log: ``waiting`` entries are not sealed yet."""

    unchanged: bool
    faults: list[str]
    entries: int
    seals: int
    waiting: int
    remembered: bool
    newest: Newest | None


class StreamQuery(Query):
    """Where a stream goes on; a ``Last-Event-ID`` comes first."""

    after: Annotated[Text, Field(description="`place` of an event")] | None = None
    news: (
        Annotated[Literal["only"], Field(description="Not the events, but, once a second at most, that there are any")]
        | None
    ) = None


class LiveEvent(TypedDict):
    """An event as docs/events.md has it, and its place in the stream."""

    place: str
    type: str
    id: str
    time: Time
    data: dict[str, Any]


class LiveEvents(TypedDict):
    """The newest, oldest first."""

    events: list[LiveEvent]
