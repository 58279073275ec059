"""Where each session was used last, in Redis. Implements ``identity.session_watch.SessionSightings``.

Keys ``gate:{sid}:seen`` and, once its user was told of it, ``gate:{sid}:told``, on the node of the session (Redis
Cluster); ``gate:{u:user}:moved`` while a user is not to be told of another vague move.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

import orjson

from gatekeeper.store.live_records import session_key, user_key
from gatekeeper.store.redis import Redis
from policies.familiar import Sighting

_QUIET: Final = 86_400  # seconds between two mails about one session


class RedisSessionSightings:
    """One small record a session; ``life`` in seconds since its last use."""

    def __init__(self, redis: Redis, *, life: float) -> None:
        self._redis = redis
        self._life = max(int(life), 1)

    async def swap(self, session: str, seen: Sighting) -> Sighting | None:
        """Put in what is seen now; what was there. One atomic step, so that each change is seen once."""
        old = await self._redis.call("SET", f"{session_key(session)}:seen", _dump(seen), "EX", self._life, "GET")
        return None if old is None else _load(old)

    async def may_tell(self, session: str) -> bool:
        """Whether nobody has been told of this session for a day; from now on somebody has. One atomic step."""
        return await self._redis.call("SET", f"{session_key(session)}:told", 1, "EX", _QUIET, "NX") is not None

    async def may_tell_of_move(self, user: str, every: float) -> bool:
        """Whether this user has been told of no vague move for ``every`` seconds; from now on they have. One atomic
        step.
        """
        life = max(int(every), 1)
        return await self._redis.call("SET", f"{user_key(user)}:moved", 1, "EX", life, "NX") is not None


def _dump(seen: Sighting) -> bytes:
    return orjson.dumps(
        {
            "time": seen.time,
            "address": str(seen.address),
            "country": seen.country,
            "asn": seen.asn,
            "fingerprint": seen.fingerprint,
        }
    )


def _load(record: bytes) -> Sighting | None:
    """None for what another version has written and this one cannot read."""
    try:
        row: dict[str, Any] = orjson.loads(record)
        return Sighting(
            time=float(row["time"]),
            address=ip_address(row["address"]),
            country=row["country"],
            asn=row["asn"],
            fingerprint=row["fingerprint"],
        )
    except (KeyError, TypeError, ValueError):
        return None
