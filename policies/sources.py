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


class RewriteSource(Protocol):
    """Another path for the upstream."""

    @property
    def strip_prefix(self) -> str | None: ...
    @property
    def add_prefix(self) -> str | None: ...


class ChangesSource(Protocol):
    """Header fields to set and to remove."""

    @property
    def set(self) -> Mapping[str, str] | None: ...
    @property
    def remove(self) -> Sequence[str] | None: ...


class CorsSource(Protocol):
    """Which other origins may call."""

    @property
    def origins(self) -> Sequence[str]: ...
    @property
    def headers(self) -> Sequence[str] | None: ...
    @property
    def expose(self) -> Sequence[str] | None: ...
    @property
    def credentials(self) -> bool: ...
    @property
    def max_age(self) -> float: ...


class Rated(Protocol):
    """A rate as the ``limits`` library reads it."""

    amount: int

    def get_expiry(self) -> int: ...


class LimitSource(Protocol):
    """How often a rule may be used."""

    @property
    def rate(self) -> Sequence[Rated]: ...
    @property
    def by(self) -> str: ...
    @property
    def report_only(self) -> bool: ...


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
    @property
    def report_only(self) -> bool: ...
    @property
    def rewrite(self) -> RewriteSource | None: ...
    @property
    def request_headers(self) -> ChangesSource | None: ...
    @property
    def response_headers(self) -> ChangesSource | None: ...
    @property
    def secure_headers(self) -> bool: ...
    @property
    def cors(self) -> CorsSource | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def body(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One mistake: ``position`` counts the rules from 0, ``key`` is the rule's key at fault."""

    position: int
    key: str
    message: str
