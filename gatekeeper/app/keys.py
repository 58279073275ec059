"""The desk of signing keys over PostgreSQL. Called by ``app.panel`` and ``gatekeeper key``."""

from __future__ import annotations

from gatekeeper.config.model import Config
from gatekeeper.journal.audit import AuditLog
from gatekeeper.key_desk import KeyDesk, KeySettings
from gatekeeper.store.accounts import PostgresKeys
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.signing_keys import PostgresKeyRotation


def key_desk(config: Config, postgres: Postgres, audit: AuditLog, secret: str) -> KeyDesk:
    """With keys as ``config`` wants them."""
    settings = KeySettings(secret, config.tokens.algorithm, config.tokens.access_ttl)
    return KeyDesk(PostgresKeys(postgres), PostgresKeyRotation(postgres), audit, settings)
