"""Limits and who uses them up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gatekeeper.identity.tallies import Part


class Window(TypedDict):
    """``amount`` in ``seconds``."""

    amount: int
    seconds: int


class Use(TypedDict):
    """What counts now for somebody: in all windows (``counts``), in the first (``requests``), and as the part of the
    limit in the window of which it is the greatest.
    """

    who: str
    parts: Annotated[dict[Part, str], Field(description="Who it is; an e-mail that no account has is a hash")]
    requests: int
    counts: list[int]
    share: Annotated[float, Field(description="1 is all of it")]


class Limit(TypedDict):
    """A limit: ``amount`` in ``window`` seconds is the first of its ``windows``; and who is nearest to it."""

    name: str
    setting: Annotated[str, Field(description="Where it stands in the configuration")]
    says: str
    counts: Literal["requests", "attempts"]
    by: list[Part]
    amount: int
    window: int
    windows: list[Window]
    report_only: bool
    most: list[Use]


class Limits(TypedDict):
    """All of them; not ``whole`` until all ``keys`` in Redis were ``looked`` at, which further calls go on with."""

    limits: list[Limit]
    looked: int
    keys: int
    whole: bool
