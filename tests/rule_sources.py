"""Rules as the configuration gives them, without a configuration (``policies.sources``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

import pytest

from policies.load import BadRules, compile_rules
from policies.sources import RuleFault


@dataclass
class Roles:
    roles: list[str] | None = None
    users: list[str] | None = None
    domains: list[str] | None = None
    claims: dict[str, list[str]] | None = None
    scopes: list[str] | None = None


@dataclass
class Rewriting:
    strip_prefix: str | None = None
    add_prefix: str | None = None


@dataclass
class Changes:
    set: dict[str, str] | None = None
    remove: list[str] | None = None


@dataclass
class Origins:
    origins: list[str]
    headers: list[str] | None = None
    expose: list[str] | None = None
    credentials: bool = False
    max_age: float = 600.0


@dataclass
class When:
    days: list[str] | None = None
    hours: list[str] | None = None
    zone: str = "UTC"


@dataclass
class Source:
    name: str = "r"
    path: list[str] = field(default_factory=lambda: ["/**"])
    host: list[str] | None = None
    methods: list[str] | None = None
    query: dict[str, str | bool] | None = None
    headers: dict[str, str | bool] | None = None
    networks: list[IPv4Network | IPv6Network] | None = None
    countries: list[str] | None = None
    schedule: When | None = None
    allow: str | Roles | list[Roles] = "authenticated"
    upstream: str | None = None
    pass_authorization: bool = False
    upgrade: Sequence[str] | None = None
    limit: object | None = None
    step_up: float | None = None
    mfa: bool = False
    rewrite: Rewriting | None = None
    request_headers: Changes | None = None
    response_headers: Changes | None = None
    secure_headers: bool = False
    cors: Origins | None = None
    timeout: float | None = None
    body: int | None = None
    report_only: bool = False


def faults(*rules: Source, upstreams: Sequence[str] = ("api",), prefix: str = "/_gate") -> list[RuleFault]:
    with pytest.raises(BadRules) as caught:
        compile_rules(rules, upstreams, prefix=prefix)
    return list(caught.value.faults)


def only(*rules: Source, upstreams: Sequence[str] = ("api",)) -> RuleFault:
    (fault,) = faults(*rules, upstreams=upstreams)
    return fault
