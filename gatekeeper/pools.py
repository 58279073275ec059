"""From the configuration of upstreams to pools: a part of the composition root, called by ``gatekeeper.app``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

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

_LOOK_AGAIN: Final = 1.0  # seconds


class Pools(dict[str, UpstreamPool]):
    """The pools in force by name. Those that a reload has replaced serve what they have begun, then they are closed.

    ``Pools[name]`` finds a pool that has just gone, too: a request may have been decided by the rules before.
    """

    def __init__(self, config: Config, secret: str) -> None:
        """Without connections yet. Raises StartupError for TLS files that cannot be used."""
        self._secure = config.public_url.startswith("https:")
        self._key = derive(secret, "route-cookies")
        self._configs: Mapping[str, Upstream] = {}
        self._gone: dict[str, UpstreamPool] = {}
        self._tasks: dict[UpstreamPool, asyncio.Task[None]] = {}
        self._watching = False
        super().__init__()
        self.adopt(self.prepare(config))

    def __missing__(self, name: str) -> UpstreamPool:
        return self._gone[name]

    def prepare(self, config: Config) -> Prepared:
        """What would be in force with this configuration; an upstream that stays the same keeps its pool. Raises
        StartupError, and changes nothing.
        """
        pools = {
            name: self[name] if self._configs.get(name) == upstream else self._pool(name, upstream)
            for name, upstream in config.upstreams.items()
        }
        return Prepared(pools, dict(config.upstreams))

    def adopt(self, prepared: Prepared) -> None:
        """Put it in force."""
        old = {name: pool for name, pool in self.items() if prepared.pools.get(name) is not pool}
        self._gone.update(old)
        self.clear()
        self.update(prepared.pools)
        self._configs = prepared.configs
        for pool in old.values():
            self._stop(pool)
            self._tasks[pool] = asyncio.get_running_loop().create_task(_close_when_idle(pool))
        if self._watching:
            self.watch()

    def watch(self) -> None:
        """Begin the active health checks."""
        self._watching = True
        for pool in self.values():
            if pool.checks is not None and pool not in self._tasks:
                self._tasks[pool] = asyncio.get_running_loop().create_task(pool.checks.run())

    def _stop(self, pool: UpstreamPool) -> None:
        task = self._tasks.pop(pool, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Close all of them, those that are gone too."""
        tasks = set(self._tasks.values())
        self._tasks.clear()
        while tasks:  # a library may swallow one cancellation on its way
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=_LOOK_AGAIN)
        for pool in {*self.values(), *self._gone.values()}:
            await pool.close()

    def _pool(self, name: str, upstream: Upstream) -> UpstreamPool:
        return _pool(name, upstream, self._key, secure=self._secure)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pools that are not in force yet, and what they were made from."""

    pools: dict[str, UpstreamPool]
    configs: dict[str, Upstream]


async def _close_when_idle(pool: UpstreamPool) -> None:
    """An exchange under way ends as it would have; a stream of events may take as long as it likes."""
    while True:
        await asyncio.sleep(_LOOK_AGAIN)  # at first for requests that are just being decided
        stats = pool.stats
        if stats.open == stats.idle and not stats.waiting:
            await pool.close()
            return


def readiness(pools: Mapping[str, UpstreamPool]) -> dict[str, Check]:
    """``upstream:NAME`` for each upstream: fails while none of its targets gets requests."""
    return {f"upstream:{name}": _reachable(pool) for name, pool in pools.items()}


def show_targets(pools: Mapping[str, UpstreamPool], metrics: Metrics) -> Callable[[], None]:
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
