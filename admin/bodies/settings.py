"""Signing keys and the configuration in force."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import Body, Done, Time, Why


class SigningKey(TypedDict):
    """A signing key, without its private half."""

    kid: str
    purpose: str
    algorithm: str
    state: str
    created_at: Time
    signs_from: Time
    retired_at: Time | None


class SigningKeys(TypedDict):
    """All of them, the one that signs latest first."""

    keys: list[SigningKey]


class RotateKey(Body):
    """What for: access tokens where nothing is said."""

    purpose: Literal["access", "assertion"] | None = None
    why: Why


class Rotated(Done):
    """The new key signs from ``signs_from`` on; the others verify until ``others_until``."""

    kid: str
    purpose: str
    signs_from: Time
    others_until: Time


class RetireKey(Body):
    """Which key ends at once."""

    kid: Annotated[str, Field(max_length=254)]
    why: Why


class Retired(Done):
    """The key that signs instead, if it was the one."""

    kid: str
    successor: str | None


class Setting(TypedDict):
    """One key of the configuration, its value as YAML, secrets masked; not ``given`` where it is left at its default;
    ``waiting`` for a restart.
    """

    path: str
    value: str
    source: str
    given: bool
    waiting: bool
    meaning: str


class PlaceDatabase(TypedDict):
    """A database of places."""

    key: str
    file: str
    kind: str
    built: str
    days: int
    knows: list[str]
    attribution: str | None


class UpstreamTarget(TypedDict):
    """A target, and whether requests go to it."""

    address: str
    up: bool


class ShownUpstream(TypedDict):
    """An upstream as this worker sees it."""

    name: str
    targets: list[UpstreamTarget]


class Configuration(TypedDict):
    """What is in force; ``good`` unless a newer one was refused, for ``faults``."""

    version: str
    file: str | None
    good: bool
    since: Time | None
    faults: list[str]
    waiting: list[str]
    settings: list[Setting]
    databases: list[PlaceDatabase]
    upstreams: list[ShownUpstream]
