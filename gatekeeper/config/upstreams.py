"""The section of one upstream in config.yaml. Part of ``config.model``; turned into pools by ``gatekeeper.app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gatekeeper.config.section import Section
from gatekeeper.config.types import CheckPath, Duration, HostField, Number, ServerName, Status, Statuses, Target


class WeightedTarget(Section):
    """A target that gets another share of the requests."""

    url: Target = Field(description="Its address.")
    weight: int = Field(1, ge=1, le=1000, description="Its share beside the others' weights, 1 to 1000.")


def _kind_of_target(value: Any) -> str:
    return "(weighted)" if isinstance(value, dict | WeightedTarget) else "(address)"


AnyTarget = Annotated[
    Annotated[Target, Tag("(address)")] | Annotated[WeightedTarget, Tag("(weighted)")],
    Discriminator(_kind_of_target),
]


class Connections(Section):
    """Bounds of a worker's connections to the upstream."""

    max: int = Field(256, ge=1, le=65536, description="Connections to one target, 1 to 65536.")
    queue: int = Field(
        1024, ge=0, le=65536, description="Requests that may wait for one, for connect_timeout at most; others get 502."
    )


class HealthCheck(Section):
    """Active health checks: each worker asks each target for a path."""

    path: CheckPath | None = Field(None, description="What is asked for with GET; not set: no active checks.")
    host: HostField | None = Field(None, description="Host field of the question; not set: the target's address.")
    every: Duration = Field(10.0, description="Time between two questions, give or take a tenth.")
    timeout: Duration = Field(2.0, description="For connecting and the head of the answer.")
    expect: list[Statuses] = Field(
        ["200-399"], min_length=1, description="Statuses that are good: single ones or ranges."
    )
    healthy_after: int = Field(2, ge=1, le=100, description="Good answers in a row that bring a target back.")
    unhealthy_after: int = Field(2, ge=1, le=100, description="Bad ones in a row that take it out.")


class Ejection(Section):
    """Passive health: a target whose requests fail is put aside for a while, never the last one."""

    failures: int = Field(
        5,
        ge=0,
        le=1000,
        description=(
            "Failures in a row: no connection, reset before an answer, time-out, or one of `statuses`; 0: never put"
            " aside."
        ),
    )
    within: Duration = Field(10.0, description="The time in which they happen.")
    length: Duration = Field(10.0, alias="for", description="How long the target is put aside the first time.")
    growth: Number = Field(2.0, ge=1, le=10, description="How many times longer each time again.")
    max: Duration = Field(300.0, description="The longest time.")
    statuses: list[Status] = Field([], description="Answers that count as failures too, such as [502, 503, 504].")


class CircuitBreaker(Section):
    """When an upstream as a whole is no longer asked (502 at once); probes find out when it is back."""

    share: Number = Field(0.5, ge=0.01, le=1, description="Share of the requests that fail, 0.01 to 1.")
    requests: int = Field(20, ge=0, le=1_000_000, description="Of how many at least; 0: whatever share fails.")
    within: Duration = Field(10.0, description="The time that is looked at.")
    length: Duration = Field(
        1.0,
        alias="for",
        description="Time between two probes, one real request each; an answer ends it.",
    )


class UpstreamTls(Section):
    """How https targets are met."""

    ca: Path | None = Field(None, description="Authorities in PEM that vouch for the targets; not set: the system's.")
    cert: Path | None = Field(None, description="The gate's own certificate and its chain in PEM.")
    key: Path | None = Field(None, description="Its key in PEM, without a password; not set: it is in `cert`.")
    server_name: ServerName | None = Field(
        None, description="Name asked for (SNI) and found in the certificate; not set: the target's host."
    )
    verify: bool = Field(True, description="`false` trusts whoever answers; `check` warns.")


class Upstream(Section):
    """A service behind the gate."""

    targets: list[AnyTarget] = Field(
        min_length=1,
        description=(
            "Addresses, http://host:port, https://host:port or unix:/path, or `{url, weight}`. Names are resolved anew"
            " for each connection."
        ),
    )
    balance: Literal["round-robin", "least-connections"] = Field(
        "round-robin",
        description="`round-robin`: in turn; `least-connections`: where the fewest are under way; both by weight.",
    )
    sticky: Literal["none", "cookie", "client"] = Field(
        "none",
        description=(
            "`cookie` keeps a browser at one target, `client` a user (or else an address); a target that is away loses"
            " them. `none`: any target."
        ),
    )
    timeout: Duration = Field(
        30.0, description="From the end of a request to the head of the answer; not given: timeouts.first_byte."
    )
    connect_timeout: Duration = Field(5.0, description="For connecting; not given: timeouts.connect.")
    between_bytes: Duration = Field(
        30.0, description="For the next byte of a body of known length, and for the upstream to take a request's."
    )
    total: Duration | None = Field(
        None, description="For a whole exchange, tunnels and event streams apart; not set: no bound."
    )
    idle_timeout: Duration = Field(60.0, description="How long a connection is kept for the next request.")
    max_age: Duration = Field(300.0, description="How long it is kept at most, so that a moved name is followed.")
    retries: int = Field(
        1,
        ge=0,
        le=10,
        description=(
            "Further targets that a request may try when no connection can be made; 0 also ends the one repetition of"
            " GET, HEAD and OPTIONS on a kept connection that was dead."
        ),
    )
    connections: Connections = Field(default_factory=Connections)
    health: HealthCheck = Field(default_factory=HealthCheck)
    ejection: Ejection = Field(default_factory=Ejection)
    circuit: CircuitBreaker = Field(default_factory=CircuitBreaker)
    tls: UpstreamTls = Field(default_factory=UpstreamTls)

    @property
    def addresses(self) -> list[str]:
        """The targets without their weights."""
        return [target.url if isinstance(target, WeightedTarget) else target for target in self.targets]

    @property
    def weights(self) -> list[int]:
        """The targets' weights."""
        return [target.weight if isinstance(target, WeightedTarget) else 1 for target in self.targets]
