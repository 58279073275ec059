"""The live stream of events in Redis: a short stream, which every gate adds to and whoever watches reads.

A receiver of ``events.hub``; ``admin.views.live`` reads. Whoever watches is woken by a message and then reads the
stream from where they were, so that nothing is missed between two looks, nor over a lost connection.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from gatekeeper.errors import StoreUnavailable
from gatekeeper.events.event import Event
from gatekeeper.store.redis import Redis, Script

STREAM: Final = "gate:activity"  # its channel has the same name
KEPT: Final = 1000
ID: Final = re.compile(r"\d{1,20}-\d{1,20}")
_AT_ONCE: Final = 100
_ANNOUNCE: Final = Script("announce")


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of the stream: its place there, and itself as JSON (``Event.dump``)."""

    id: str
    event: bytes


class RedisActivity:
    """Adds events, and follows those of all gates."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, events: Sequence[Event]) -> None:
        """Add them. Raises StoreUnavailable."""
        await self._redis.run(_ANNOUNCE, [STREAM], [KEPT, *(event.dump() for event in events)])

    def is_place(self, text: str) -> bool:
        """Whether a client's word for a place is one."""
        return ID.fullmatch(text) is not None

    async def recent(self, count: int) -> list[Seen]:
        """The newest, oldest first. Raises StoreUnavailable."""
        found = await self._redis.call("XREVRANGE", STREAM, "+", "-", "COUNT", count)
        return [_seen(entry) for entry in reversed(found)]

    async def after(self, place: str, count: int = _AT_ONCE) -> list[Seen]:
        """Those that follow one of a ``Seen``; of an unknown place too. Raises StoreUnavailable."""
        if not self.is_place(place):
            raise ValueError("a place in the stream is two numbers with a dash between them")
        found = await self._redis.call("XRANGE", STREAM, f"({place}", "+", "COUNT", count)
        return [_seen(entry) for entry in found]

    async def follow(self, place: str) -> AsyncGenerator[Seen, None]:
        """Those that follow ``place`` (0-0: all that are kept), then every new one, for ever.

        Within ``contextlib.aclosing``. Never raises for an outage of Redis: it goes on when that is back.
        """
        async with contextlib.aclosing(self._redis.subscribe(STREAM)) as wakes:
            async for _ in wakes:
                with contextlib.suppress(StoreUnavailable):
                    while found := await self.after(place):
                        for seen in found:
                            yield seen
                        place = found[-1].id


def _seen(entry: tuple[bytes, list[bytes]]) -> Seen:
    place, (_name, event) = entry
    return Seen(place.decode(), event)
