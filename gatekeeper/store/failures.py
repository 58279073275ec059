"""What failed lately, in Redis: by address, by account, by what the client looks like. Implements
``identity.signals.Failures``.

Each set is bounded and forgets by time. Accounts are ids, or an HMAC where nobody has the e-mail; fingerprints are
HMACs already.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gatekeeper.identity.signals import Failure
from gatekeeper.store.redis import Redis, Script
from policies.anomalies import Lately

_LATELY: Final = Script("lately")
_MOST: Final = 200  # of each; more than any threshold


class RedisFailures:
    """Counts within ``window`` seconds."""

    def __init__(self, redis: Redis, window: float) -> None:
        self._redis = redis
        self._window = window

    async def failed(self, failure: Failure) -> Lately:
        """What there is of lately, with this one among it. Raises StoreUnavailable. One round trip."""
        client, now = failure.client, failure.now
        address, account, codes, accounts, addresses = await asyncio.gather(
            self._count(f"a:{failure.place}", now, add=failure.account),
            self._count(f"u:{failure.account}", now, add=failure.id),
            self._count(f"o:{failure.account}", now, add=failure.id if failure.code else ""),
            self._count(f"c:{client}:u", now, add=failure.account if client else ""),
            self._count(f"c:{client}:a", now, add=failure.place if client else ""),
        )
        return Lately(address, accounts, addresses, account, codes)

    async def succeeded(self, failure: Failure) -> Lately:
        """What there is of lately, without this account's failures at this address and on clients like this one:
        whoever mistypes and then gets it right is no attacker. Raises StoreUnavailable. One round trip.
        """
        client, now = failure.client, failure.now
        address, account, codes, accounts, addresses = await asyncio.gather(
            self._count(f"a:{failure.place}", now, take=failure.account),
            self._count(f"u:{failure.account}", now),
            self._count(f"o:{failure.account}", now),
            self._count(f"c:{client}:u", now, take=failure.account),
            self._count(f"c:{client}:a", now),
        )
        return Lately(address, accounts, addresses, account, codes)

    async def _count(self, key: str, now: float, *, add: str = "", take: str = "") -> int:
        arguments = [repr(now), self._window, _MOST, add, take]
        return int(await self._redis.run(_LATELY, [f"gate:{{failed:{key}}}"], arguments))
