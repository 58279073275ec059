"""A reload is a change too: what differs goes into the audit log, once for all workers. Called by ``app.reload``.

Rules and upstreams may hold secrets, in fields that they set: the log has names and digests of those.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import Any, Final

from pydantic import BaseModel

from gatekeeper.app.parts import Running
from gatekeeper.clock import Clock
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.keyring import derive

_TOGETHER: Final = 10  # seconds within which the same step of several workers and gates is one reload

_log = logging.getLogger("gatekeeper.audit")


class ReloadNotes:
    """Follows the configuration of one worker, from ``config`` on."""

    def __init__(self, config: Config, redis: Redis, audit: AuditLog, clock: Clock, key: bytes) -> None:
        self._digests = _Digests(key)
        self._facts = self._digests.facts(config)
        self._redis = redis
        self._audit = audit
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def note(self, config: Config) -> None:
        """It is in force now. Does not wait for the stores; while PostgreSQL is away the log file alone has it."""
        before, after = self._facts, self._digests.facts(config)
        self._facts = after
        differing = [key for key in after if before[key] != after[key]]
        if not differing:
            return
        old, new = ({key: facts[key] for key in differing} for facts in (before, after))
        change = Change(self._clock.now(), "gate", "rules.reload", "configuration", old, new)
        task = asyncio.ensure_future(self._write(change, self._digests.of([before, after])))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _write(self, change: Change, step: str) -> None:
        try:
            async with self._turn:  # in the order in which they came into force
                if await self._first(step):
                    await self._audit.record_change(change)
        except StoreUnavailable as fault:
            _log.warning("a reload is not in the audit log: %s", fault)

    async def _first(self, step: str) -> bool:
        try:
            taken = await self._redis.call("SET", f"gate:audit:reload:{step}", "1", "NX", "EX", _TOGETHER)
        except StoreUnavailable:
            return True  # rather once a worker than not at all
        return taken is not None


def reload_notes(config: Config, running: Running) -> ReloadNotes:
    """Those of a worker that starts with ``config``."""
    stores, key = running.stores, derive(running.secret, "reload-notes")
    return ReloadNotes(config, stores.redis, stores.journal, running.clock, key)


class _Digests:
    """Under a key, so that nobody who reads the log can try what a secret might be."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def facts(self, config: Config) -> dict[str, Any]:
        return {
            "rules": [{"name": rule.name, "digest": self.of(rule)} for rule in config.rules],
            "upstreams": {name: self.of(upstream) for name, upstream in config.upstreams.items()},
            "limits": config.limits.model_dump(mode="json", by_alias=True),
            "otp.limit": config.otp.model_dump(mode="json", by_alias=True)["limit"],
            "bans": config.bans.model_dump(mode="json", by_alias=True),
            "cors": config.cors.model_dump(mode="json", by_alias=True),
            "logs.level": config.logs.level,
        }

    def of(self, said: BaseModel | list[Any]) -> str:
        data = said.model_dump(mode="json", by_alias=True) if isinstance(said, BaseModel) else said
        return hmac.new(self._key, json.dumps(data, sort_keys=True).encode(), "sha256").hexdigest()[:16]
