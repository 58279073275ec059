"""What seals the audit log in one worker. Called by ``app.build``; the key is also for ``gatekeeper audit``."""

from __future__ import annotations

from gatekeeper.app.parts import Running
from gatekeeper.journal.sealing import Sealer
from gatekeeper.store.audit import PostgresSeals, RedisHeads
from gatekeeper.tokens.keyring import derive


def audit_key(secret: str) -> bytes:
    """The key of the seals."""
    return derive(secret, "audit-seals")


def audit_sealer(running: Running) -> Sealer:
    """Over stores that need not be open yet."""
    stores = running.stores
    return Sealer(PostgresSeals(stores.postgres), RedisHeads(stores.redis), audit_key(running.secret), running.clock)
