"""The stores for a command that changes something: a running gate's, or started for as long as the command lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gatekeeper.app.telling import told
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED, Config
from gatekeeper.errors import StartupError, StoreUnavailable
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.embedded import embedded_servers
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.migrate import migrate
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis


@contextmanager
def attached(loaded: LoadedConfig) -> Iterator[StoreAddresses]:
    """Both stores, the database brought up to date. Raises StartupError or StoreUnavailable."""
    storage = loaded.config.storage
    dsn, url = storage.postgres.get_secret_value(), storage.redis.get_secret_value()
    wanted = {"postgres": dsn == EMBEDDED, "redis": url == EMBEDDED}
    with embedded_servers(storage.data_dir, attach=True, **wanted) as embedded:
        postgres = embedded.addresses.postgres if wanted["postgres"] else dsn
        redis = embedded.addresses.redis if wanted["redis"] else url
        if postgres is None or redis is None:
            raise StartupError("the embedded servers have no address")
        asyncio.run(migrate(postgres))
        yield StoreAddresses(postgres, redis)


@dataclass(frozen=True, slots=True)
class Desk:
    """The stores of a command that changes something: connected, with a journal that tells all receivers of events."""

    config: Config
    postgres: Postgres
    redis: Redis
    live: RedisSessions
    journal: PostgresJournal
    now: float


def carry_out(work: Callable[[Desk], Awaitable[None]], loaded: LoadedConfig, *, without_redis: bool = False) -> int:
    """Do ``work`` at a desk; 0 good. Faults are raised for ``main`` to print.

    ``without_redis``: it goes on where Redis is away.
    """
    with attached(loaded) as addresses:
        asyncio.run(_at_desk(work, loaded.config, addresses, without_redis=without_redis))
    return 0


async def _at_desk(
    work: Callable[[Desk], Awaitable[None]], config: Config, addresses: StoreAddresses, *, without_redis: bool
) -> None:
    postgres, redis = Postgres(addresses.postgres, size=2, timeout=30.0), Redis(addresses.redis, timeout=2.0)
    try:
        await postgres.open()
        try:
            await redis.open()
        except StoreUnavailable:
            if not without_redis:
                raise
        live = RedisSessions(redis, user_life=config.tokens.refresh_ttl + 86_400)
        journal = PostgresJournal(postgres)
        async with told(config, postgres, redis, journal):
            await work(Desk(config, postgres, redis, live, journal, SystemClock.now()))
    finally:
        await redis.close()
        await postgres.close()
