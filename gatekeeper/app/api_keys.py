"""API keys in one worker: the service over its stores, and the last uses that are written now and then.

Called by ``gatekeeper.app.build`` and ``edge``, and by ``gatekeeper api-key``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.api_keys import ApiKeys
from gatekeeper.journal.audit import AuditLog
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.live import RedisSessions
from gatekeeper.tokens.api_keys import KeyUses

WRITE_EVERY: Final = 15.0  # seconds

_log = logging.getLogger("gatekeeper.api_keys")


def key_service(config: Config, store: PostgresApiKeys, live: RedisSessions, audit: AuditLog) -> ApiKeys:
    """The service."""
    settings = config.api_keys
    return ApiKeys(
        store,
        live,
        audit,
        grants=settings.scopes,
        per_user=settings.per_user,
        max_ttl=settings.max_ttl,
        overlap=settings.rotation_overlap,
    )


async def write_uses(uses: KeyUses, store: PostgresApiKeys) -> None:
    """Write what waits; where PostgreSQL is away it waits on."""
    taken = uses.take()
    if not taken:
        return
    try:
        await store.write_uses(taken)
    except StoreUnavailable as fault:
        uses.give_back(taken)
        _log.warning("last uses of API keys could not be written: %s", fault)


async def keep_uses(uses: KeyUses, store: PostgresApiKeys) -> None:
    """Write last uses, for ever, until cancelled."""
    while True:
        await asyncio.sleep(WRITE_EVERY)
        await write_uses(uses, store)
