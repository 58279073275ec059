"""From the configuration of upstreams to pools: a part of the composition root, called by ``gatekeeper.app``."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from gatekeeper.config.model import Config
from gatekeeper.config.types import status_range
from gatekeeper.config.upstreams import HealthCheck, Upstream
from gatekeeper.errors import StartupError, UpstreamUnavailable
from gatekeeper.health import Check
from gatekeeper.observe.metrics import Metrics
from gatekeeper.tokens.keyring import derive
from gatekeeper.upstream.balance import LeastConnections, RoundRobin
from gatekeeper.upstream.circuit import CircuitRule, EjectionRule
from gatekeeper.upstream.health import CheckRule
from gatekeeper.upstream.messages import TargetAddress
from gatekeeper.upstream.pool import UpstreamPool
from gatekeeper.upstream.settings import PoolSettings
from gatekeeper.upstream.sticky import ByClient, ByCookie, Sticky
from gatekeeper.upstream.tls import BadTls, client_context

Pools = Mapping[str, UpstreamPool]


def open_pools(config: Config, secret: str) -> dict[str, UpstreamPool]:
    """A pool for each upstream, without connections yet. Raises StartupError for TLS files that cannot be used."""
    secure = config.public_url.startswith("https:")
    key = derive(secret, "route-cookies")
    return {name: _pool(name, upstream, key, secure=secure) for name, upstream in config.upstreams.items()}


def readiness(pools: Pools) -> dict[str, Check]:
    """``upstream:NAME`` for each upstream: fails while none of its targets gets requests."""
    return {f"upstream:{name}": _reachable(pool) for name, pool in pools.items()}


def show_targets(pools: Pools, metrics: Metrics) -> Callable[[], None]:
    """What sets ``gatekeeper_upstream_target_up``, where it has changed, before metrics are read."""
    shown: dict[tuple[str, str], bool] = {}

    def show() -> None:
        for name, pool in pools.items():
            for target, up in pool.standings():
                if shown.get((name, target)) is not up:
                    shown[name, target] = up
                    metrics.target_up.labels(name, target).set(up)

    return show


def _reachable(pool: UpstreamPool) -> Check:
    async def check() -> None:
        if not any(up for _, up in pool.standings()):
            raise UpstreamUnavailable(f"{pool.name}: no target is up")

    return check


def _pool(name: str, upstream: Upstream, key: bytes, *, secure: bool) -> UpstreamPool:
    return UpstreamPool(
        name,
        [TargetAddress.parse(address) for address in upstream.addresses],
        _settings(name, upstream),
        balance=LeastConnections() if upstream.balance == "least-connections" else RoundRobin(),
        sticky=_sticky(name, upstream, key, secure=secure),
    )


def _sticky(name: str, upstream: Upstream, key: bytes, *, secure: bool) -> Sticky | None:
    match upstream.sticky:
        case "cookie":
            return ByCookie(name, key, secure=secure)
        case "client":
            return ByClient()
        case "none":
            return None


def _settings(name: str, upstream: Upstream) -> PoolSettings:
    ejection, circuit = upstream.ejection, upstream.circuit
    return PoolSettings(
        connect_timeout=upstream.connect_timeout,
        first_byte_timeout=upstream.timeout,
        idle_timeout=upstream.idle_timeout,
        between_bytes_timeout=upstream.between_bytes,
        total_timeout=upstream.total,
        max_age=upstream.max_age,
        max_connections=upstream.connections.max,
        max_waiting=upstream.connections.queue,
        retries=upstream.retries,
        weights=tuple(upstream.weights),
        ejection=EjectionRule(ejection.failures, ejection.within, ejection.length, ejection.growth, ejection.max),
        circuit=CircuitRule(circuit.share, circuit.requests, circuit.within, circuit.length),
        failing=frozenset(ejection.statuses),
        checks=_checks(upstream.health),
        ssl_context=_tls(name, upstream),
        server_name=upstream.tls.server_name,
    )


def _checks(health: HealthCheck) -> CheckRule | None:
    if health.path is None:
        return None
    return CheckRule(
        path=health.path,
        every=health.every,
        timeout=health.timeout,
        expect=tuple(map(status_range, health.expect)),
        healthy_after=health.healthy_after,
        unhealthy_after=health.unhealthy_after,
        host=health.host,
    )


def _tls(name: str, upstream: Upstream) -> ssl.SSLContext | None:
    tls = upstream.tls
    if not any(address.startswith("https:") for address in upstream.addresses):
        return None
    try:
        return client_context(ca=tls.ca, cert=tls.cert, key=tls.key, verify=tls.verify)
    except BadTls as fault:
        raise StartupError(f"upstreams.{name}.tls.{fault.key}: {fault}") from None
