"""Who uses up most of each limit, out of the counters in Redis. Implements ``admin.limit_use.UseReader``.

Nothing on the request path keeps a list of who counts: the keys are walked when somebody asks, a few hundred a command
(Redis serves requests in between) and a bounded number a question. The next question goes on where the last one ended,
and looks again at whoever was found before, so that a page that asks again and again has soon seen all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import nlargest
from typing import Final

from admin.limit_use import Meter, Use, Used
from gatekeeper.store.redis import Redis, Script

_USE: Final = Script("limit_use")
_STEP: Final = 500  # keys a command
_MOST_STEPS: Final = 40  # commands a question: 20,000 keys, 0.1 to 0.2 s (docs/pages.md)
_OFTEN: Final = 60.0  # seconds for which a look at all keys counts as one at what is there now


class RedisLimitUse:
    """One a worker; it remembers where it is and the keys of the greatest, nothing else."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._cursor = "0"
        self._looked = 0
        self._known: frozenset[bytes] = frozenset()
        self._finished = float("-inf")

    async def most(self, meters: Sequence[Meter], now: float, *, count: int) -> Used:
        """Raises StoreUnavailable."""
        found: dict[Meter, dict[bytes, Use]] = defaultdict(dict)
        asked, cursor, looked, known = _asked(meters), self._cursor, self._looked, self._known
        for number in range(_MOST_STEPS):
            first = sorted(known) if number == 0 else ()
            reply = await self._redis.run(_USE, [], [cursor, _STEP, repr(now), count, *asked, *first])
            cursor, looked = reply[0].decode(), looked + reply[1]
            for place, key, who, *counts in reply[2]:
                meter = meters[place - 1]
                parts = tuple(who.decode("utf-8", "replace").split("/", len(meter.of) - 1))
                if len(parts) == len(meter.of):  # a key may come twice in a walk
                    found[meter][key] = Use(parts, tuple(counts))
            if cursor == "0":
                self._finished, looked = now, 0
                break
        keys = int(await self._redis.call("DBSIZE"))
        best = {meter: _greatest(meter, uses, count) for meter, uses in found.items()}
        self._cursor, self._looked = cursor, looked
        self._known = frozenset(key for uses in best.values() for key, _ in uses)
        whole = 0 <= now - self._finished < _OFTEN
        top = {meter: [use for _, use in uses] for meter, uses in best.items()}
        return Used(top, keys if whole else min(looked, keys), keys, whole)


def _greatest(meter: Meter, uses: dict[bytes, Use], count: int) -> list[tuple[bytes, Use]]:
    return nlargest(count, uses.items(), key=lambda pair: pair[1].share(meter))


def _asked(meters: Sequence[Meter]) -> list[object]:
    """The meters as the script has them."""
    args: list[object] = [len(meters)]
    for meter in meters:
        windows = [number for window in meter.windows for number in window]
        args += ["a" if meter.attempts else "r", meter.name, meter.rate or "", len(meter.windows), *windows]
    return args
