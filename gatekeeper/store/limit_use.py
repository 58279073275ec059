"""Who uses up most of each limit, out of the windows in Redis. Implements ``admin.limit_use.UseReader``.

Nothing on the request path keeps a list of who counts: the keys are walked when somebody asks, a few hundred a command
(Redis serves requests in between), and no more than a bound of them altogether.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from heapq import nlargest
from typing import Any, Final

from admin.limit_use import Use, Used
from gatekeeper.store.redis import Redis
from policies.rates import Limit, Standing

_PREFIX: Final = "gate:l:"
_STEP: Final = 500  # keys a command
_MOST_STEPS: Final = 200  # commands, so 100,000 keys of any kind


class RedisLimitUse:
    """Reads the first window of each limit."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def most(self, limits: Sequence[Limit], now: float, *, count: int) -> Used:
        """Raises StoreUnavailable."""
        known = {limit.name: limit for limit in limits}
        found: dict[str, dict[str, Use]] = defaultdict(dict)
        cursor = b"0"
        for _ in range(_MOST_STEPS):
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"{_PREFIX}*", "COUNT", _STEP)
            windows = await asyncio.gather(*(self._redis.call("HMGET", key, "i", "c", "p") for key in keys))
            for key, window in zip(keys, windows, strict=True):
                name, _, who = key.decode("utf-8", "replace").removeprefix(_PREFIX).partition(":{")
                limit = known.get(name)
                if limit is not None and (use := _use(limit, who.removesuffix("}"), window, now)) is not None:
                    found[name][use.who] = use  # a key may come twice in a walk
            if cursor == b"0":
                break
        top = {name: nlargest(count, uses.values(), key=lambda use: use.requests) for name, uses in found.items()}
        return Used(top, whole=cursor == b"0")


def _use(limit: Limit, who: str, window: Sequence[Any], now: float) -> Use | None:
    """None where nothing of it counts any more, or it cannot be read."""
    try:
        at, current, previous = (int(part or 0) for part in window)
    except ValueError:
        return None
    age = int(now // limit.window) - at
    if age not in {0, 1}:
        return None
    standing = Standing(limit, True, *((current, previous) if age == 0 else (0, current)), now)
    left = standing.previous * standing.reset / limit.window + standing.current
    return Use(who, int(left)) if left >= 1 else None
