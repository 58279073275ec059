"""Accounts: lists, one with what it has, its story, and what is done to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import After, Body, Country, Done, DoneTo, Next, Paged, Query, Roles, Time, Uuid, WhyBody
from admin.bodies.logins import Attempt, Text
from admin.user_lists import Held, State
from gatekeeper.identity.accounts import LONGEST_NAME
from gatekeeper.identity.bulk_desk import BulkAct

Unseen = Annotated[
    str,
    Field(
        pattern="^(ever|[0-9.]+(ms|s|m|h|d|w))$",
        description="Without a sign-in for so long, or ever",
        examples=["30d", "ever"],
    ),
]


class UsersQuery(Query):
    """Accounts for which all that is given holds."""

    text: Annotated[Text, Field(description="A part of an e-mail or a name")] | None = None
    role: Annotated[Text, Field(description="Exactly this role", examples=["admin"])] | None = None
    state: State | None = None
    factor: Annotated[Held, Field(description="What second factor there is")] | None = None
    unseen: Unseen | None = None


class UsersPage(UsersQuery):
    """A page of them."""

    after: After = None


class User(TypedDict):
    """An account in a list."""

    id: Uuid
    email: str
    email_verified: bool
    name: str | None
    roles: list[str]
    locked: bool
    created_at: Time
    last_login: Time | None
    open_sessions: int
    second_factors: int
    app: bool
    passkeys: int


class Users(TypedDict):
    """A page of accounts."""

    users: list[User]
    next: Next


class Password(TypedDict):
    """Whether there is one, and whether the next login has to choose another."""

    set: bool
    must_change: bool


class Passkey(TypedDict):
    """A passkey, without its key."""

    id: str
    name: str
    used_at: Time | None


class Factors(TypedDict):
    """Second factors; ``totp`` is since when there is one."""

    totp: Time | None
    passkeys: list[Passkey]
    recovery_codes: int
    remembered_devices: int


class UserDevice(TypedDict):
    """A browser that an account signed in with."""

    id: str
    standing: str
    user_agent: str
    address: str
    country: Country | None
    seen_at: Time
    logins: int


class UserSession(TypedDict):
    """A living session of an account."""

    id: str
    started_at: Time
    seen_at: Time
    address: str
    country: Country | None
    user_agent: str


class ApiKey(TypedDict):
    """An API key of an account, without its secret."""

    id: str
    name: str
    start: str
    scopes: list[str]
    networks: list[str]
    created_at: Time
    created_by: str
    expires_at: Time | None
    used_at: Time | None
    used_from: str | None


class Account(TypedDict):
    """One account with what it has."""

    id: Uuid
    email: str
    email_verified: bool
    name: str | None
    roles: list[str]
    locked: bool
    created_at: Time
    password: Password
    factors: Factors
    devices: list[UserDevice]
    sessions: list[UserSession]
    api_keys: list[ApiKey]


class StoryPage(Paged):
    """What happened to an account; without a kind, everything."""

    kind: Literal["logins", "signals", "changes", "sessions"] | None = None


class StoryChange(TypedDict):
    """A change by or to an account."""

    id: int
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None


class StoryEnding(TypedDict):
    """A session that has ended."""

    id: str
    started_at: Time
    reason: str | None
    address: str


class Event(TypedDict):
    """One thing that happened: with its ``login``, ``change`` or ``session``."""

    time: Time
    kind: Literal["login", "change", "session"]
    login: NotRequired[Attempt]
    change: NotRequired[StoryChange]
    session: NotRequired[StoryEnding]


class Story(TypedDict):
    """A page of what happened."""

    events: list[Event]
    next: Next


class Invite(Body):
    """Whom to invite."""

    email: Text
    roles: Roles | None = None


class Invited(Done):
    """``link`` is shown once."""

    email: str
    link: str


class NewUser(Body):
    """An account; without a password one is made up."""

    email: Text
    password: str | None = Field(None, repr=False)
    name: Text | None = None
    roles: Roles | None = None
    must_change: Annotated[bool, Field(description="Whether the first login has to choose another password")] = False


class UserMade(DoneTo):
    """``password`` is there, once, where it was made up."""

    email: str
    password: NotRequired[str]


class SetRoles(WhyBody):
    """All roles of an account; with none it loses them all."""

    roles: Roles


class Rename(WhyBody):
    """What an account is called; without a name it has none."""

    name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None


class ChangeEmail(WhyBody):
    """The e-mail that an account is to have."""

    email: Text


class RemoveFactor(WhyBody):
    """Which of an account's second factors."""

    factor: Annotated[Text, Field(description="totp, or the id of a passkey", examples=["totp"])]


class BulkBody(WhyBody):
    """Accounts for which all that is given holds (something has to be), but one's own."""

    act: Annotated[BulkAct, Field(strict=False)]
    count: Annotated[int, Field(ge=0, description="How many have to fit; 409 where they are not as many")] | None = None
    text: Annotated[Text, Field(description="A part of an e-mail or a name")] | None = None
    role: Annotated[Text, Field(description="Exactly this role", examples=["admin"])] | None = None
    state: Annotated[State, Field(strict=False)] | None = None
    factor: Annotated[Held, Field(strict=False, description="What second factor there is")] | None = None
    unseen: Unseen | None = None


class UserCount(TypedDict):
    """How many accounts there are without one's own, and how many of them are admins."""

    users: int
    admins: int


class BulkDone(Done):
    """How many accounts are other than before."""

    changed: int


class RevokeKey(WhyBody):
    """Which API key ends."""

    key: Annotated[Text, Field(description="Its id")]


class DeviceBody(WhyBody):
    """Which device of the account is meant."""

    device: Annotated[Text, Field(description="Its id")]
