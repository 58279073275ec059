"""The stores for a command that changes something: a running gate's, or started for as long as the command lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED
from gatekeeper.errors import StartupError
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.embedded import embedded_servers
from gatekeeper.store.migrate import migrate


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
