"""How many connections sessions hold open, on all workers, in Redis. Implements ``app.held.HeldStore`` and what
``admin.views.sessions`` reads.

A hash a worker, which ends soon after its worker, and a sorted set of the workers by when that is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from gatekeeper.store.redis import Redis, Script

_HELD: Final = Script("held")
_WORKERS: Final = "gate:held:workers"
_AT_ONCE: Final = 1000  # fields of one call


class RedisHeld:
    """``life`` in seconds of what a worker has said, unless it says it again."""

    def __init__(self, redis: Redis, *, life: float) -> None:
        self._redis = redis
        self._life = life

    async def tell(self, worker: str, changed: Mapping[str, int], gone: Sequence[str], now: float) -> bool:
        """What has changed since this worker told last. False where that is forgotten: then tell everything."""
        await self._redis.call("ZREMRANGEBYSCORE", _WORKERS, "-inf", repr(now))
        await self._redis.call("ZADD", _WORKERS, repr(now + self._life), worker)
        fields, there = list(changed.items()), True
        for start in range(0, max(len(fields), len(gone), 1), _AT_ONCE):
            some = fields[start : start + _AT_ONCE]
            parts = [part for field in some for part in field]
            args = [int(self._life * 1000), len(some), *parts, *gone[start : start + _AT_ONCE]]
            before = await self._redis.run(_HELD, [_key(worker)], args)
            there = there and (start > 0 or bool(before))
        return there

    async def of(self, sessions: Sequence[str], now: float) -> dict[str, int]:
        """How many each of these holds; those that hold none are left out."""
        if not sessions:
            return {}
        workers = await self._redis.call("ZRANGEBYSCORE", _WORKERS, repr(now), "+inf")
        answers = await asyncio.gather(
            *(self._redis.call("HMGET", _key(worker.decode()), *sessions) for worker in workers)
        )
        sums = Counter[str]()
        for counts in answers:
            sums.update({session: int(count) for session, count in zip(sessions, counts, strict=True) if count})
        return dict(sums)


def _key(worker: str) -> str:
    return f"gate:held:{{{worker}}}"
