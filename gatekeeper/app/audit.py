"""What seals the audit log in one worker, and what holds it against its seals. Called by ``app.build``, ``app.panel``
and ``gatekeeper audit``.
"""

from __future__ import annotations

from gatekeeper.app.parts import Running
from gatekeeper.journal.sealing import Inspector, Sealer
from gatekeeper.store.audit import PostgresSeals, RedisHeads
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.keyring import derive


def audit_key(secret: str) -> bytes:
    """The key of the seals."""
    return derive(secret, "audit-seals")


def audit_sealer(running: Running) -> Sealer:
    """Over stores that need not be open yet."""
    stores = running.stores
    return Sealer(PostgresSeals(stores.postgres), RedisHeads(stores.redis), audit_key(running.secret), running.clock)


def audit_inspector(postgres: Postgres, redis: Redis, secret: str) -> Inspector:
    """For panel and command."""
    return Inspector(PostgresSeals(postgres), RedisHeads(redis), audit_key(secret))
