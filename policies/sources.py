"""A rule as the configuration gives it (``gatekeeper.config.rules``) and as ``policies.load`` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from policies.criteria import Network


class SubjectSource(Protocol):
    """Who is admitted, where it is not a single word."""

    @property
    def roles(self) -> Sequence[str] | None: ...
    @property
    def users(self) -> Sequence[str] | None: ...
    @property
    def domains(self) -> Sequence[str] | None: ...
    @property
    def claims(self) -> Mapping[str, Sequence[str]] | None: ...


class ScheduleSource(Protocol):
    """When a rule holds."""

    @property
    def days(self) -> Sequence[str] | None: ...
    @property
    def hours(self) -> Sequence[str] | None: ...
    @property
    def zone(self) -> str: ...


class Rated(Protocol):
    """A rate as the ``limits`` library reads it."""

    amount: int

    def get_expiry(self) -> int: ...


class LimitSource(Protocol):
    """How often a rule may be used."""

    @property
    def rate(self) -> Rated: ...
    @property
    def by(self) -> str: ...


class RuleSource(Protocol):
    """One rule."""

    @property
    def name(self) -> str: ...
    @property
    def host(self) -> Sequence[str] | None: ...
    @property
    def path(self) -> Sequence[str]: ...
    @property
    def methods(self) -> Sequence[str] | None: ...
    @property
    def query(self) -> Mapping[str, str | bool] | None: ...
    @property
    def headers(self) -> Mapping[str, str | bool] | None: ...
    @property
    def networks(self) -> Sequence[Network] | None: ...
    @property
    def countries(self) -> Sequence[str] | None: ...
    @property
    def schedule(self) -> ScheduleSource | None: ...
    @property
    def allow(self) -> str | SubjectSource | Sequence[SubjectSource]: ...
    @property
    def upstream(self) -> str | None: ...
    @property
    def pass_authorization(self) -> bool: ...
    @property
    def upgrade(self) -> Sequence[str] | None: ...
    @property
    def limit(self) -> LimitSource | None: ...
    @property
    def step_up(self) -> float | None: ...
    @property
    def mfa(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One mistake: ``position`` counts the rules from 0, ``key`` is the rule's key at fault."""

    position: int
    key: str
    message: str
