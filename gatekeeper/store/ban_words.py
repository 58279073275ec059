"""What concerns bans in Redis: the word that there are changes, and the count of strikes.

Implements ``BanWords`` and ``BanNews`` of ``gatekeeper.bans``, and ``policies.strikes.StrikeStore``. A word is a hint:
every gate looks into the database by itself within a second. Only a ban that the database could not take travels whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import orjson

from gatekeeper.bans.follow import Word
from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.redis import Redis, Script
from policies.bans import Ban, BanKind, Penalty, Source, Subject
from policies.strikes import Strike

CHANNEL: Final = "gate:bans"
STRIKE: Final = Script("strike")


class RedisBanWords:
    """Publishes and hears."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tell(self, version: int) -> None:
        """Say that there is a new version; nothing where Redis is away."""
        with contextlib.suppress(StoreUnavailable):
            await self._redis.call("PUBLISH", CHANNEL, orjson.dumps({"version": version}))

    async def announce(self, ban: Ban) -> None:
        """Say a ban that the database does not have yet. Raises StoreUnavailable."""
        word = {
            "kind": ban.subject.kind,
            "subject": ban.subject.text,
            "source": ban.source,
            "since": ban.since,
            "until": ban.until,
        }
        await self._redis.call("PUBLISH", CHANNEL, orjson.dumps(word))

    async def words(self) -> AsyncGenerator[Word, None]:
        """For ever; ``Word()`` wherever some may have been missed."""
        async with contextlib.aclosing(self._redis.subscribe(CHANNEL)) as events:
            async for event in events:
                yield Word() if event.data is None else _word(event.data)


class RedisStrikes:
    """The count, in one script a strike."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def strike(self, strike: Strike, penalty: Penalty, now: float) -> int:
        tag = f"gate:{{strikes:{strike.who}}}"
        threshold = strike.threshold
        arguments = (repr(now), repr(threshold.within), threshold.after, strike.what, repr(penalty.longest))
        return int(await self._redis.run(STRIKE, [f"{tag}:{strike.source}", f"{tag}:bans"], arguments))


def _word(data: bytes) -> Word:
    """A word as it was sent; one that cannot be read is taken as a hint."""
    try:
        said = orjson.loads(data)
        if "version" in said:
            return Word(version=int(said["version"]))
        subject = Subject(BanKind(said["kind"]), str(said["subject"]))
        until = float(said["until"])
        if subject.kind is BanKind.NETWORK:
            _ = subject.network  # raises for what is no network
        return Word(ban=Ban(subject, Source(said["source"]), float(said["since"]), until))
    except (ValueError, TypeError, KeyError):
        return Word()
