"""Which sessions have used the panel lately, in Redis. Implements ``admin.guard.Presence``."""

from __future__ import annotations

from typing import Final

from gatekeeper.store.live_records import session_key
from gatekeeper.store.redis import Redis, Script

_SEEN: Final = Script("panel_seen")
_SLACK_MS: Final = 60_000


class RedisPresence:
    """``idle`` in seconds."""

    def __init__(self, redis: Redis, *, idle: float) -> None:
        self._redis = redis
        self._idle = idle

    async def seen(self, session: str, now: float, *, fresh: bool, extend: bool) -> bool:
        """As the Protocol says; raises StoreUnavailable."""
        life = int(self._idle * 1000) + _SLACK_MS
        arguments = [repr(now), repr(self._idle), int(fresh), int(extend), life]
        return bool(await self._redis.run(_SEEN, [f"{session_key(session)}:panel"], arguments))
