"""Replay after a Redis restart or failover: what ended stays ended (security 14).

A server that comes back from its own disk, or a replica that takes over, may lack the last second of writes. So
before any request uses a server whose run is new, the endings and user states that PostgreSQL remembers are
written again. A marker with the server's run and replication ids lets the other workers and gates skip it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gatekeeper.clock import Clock
from gatekeeper.store.api_key_records import KEY_LIFE, PUT_KEY, api_key_key, put_key_arguments
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.batch import Executor
from gatekeeper.store.foreign import PostgresForeignRevocations
from gatekeeper.store.live import BLACKLIST, PUT_USER, blacklist_call, put_user_arguments
from gatekeeper.store.live_records import session_key, user_key
from gatekeeper.store.records import PostgresSessionRecords
from gatekeeper.tokens.api_keys import KeyRecord
from gatekeeper.tokens.foreign import ENTRY
from gatekeeper.tokens.sessions import UserState

MARKER = "gate:replayed"


class Replay:
    """The hook of ``store.redis.Redis``; ``user_life`` in seconds as in ``RedisSessions``."""

    def __init__(
        self,
        records: PostgresSessionRecords,
        foreign: PostgresForeignRevocations,
        api_keys: PostgresApiKeys,
        clock: Clock,
        *,
        user_life: float,
    ) -> None:
        self._api_keys = api_keys
        self._records = records
        self._foreign = foreign
        self._clock = clock
        self._user_life = user_life

    async def __call__(self, redis: Executor) -> None:
        """Make this server safe to use. Raises StoreUnavailable when PostgreSQL or Redis does not answer."""
        history = _history(await redis.call("INFO", "server"), await redis.call("INFO", "replication"))
        if await redis.call("GET", MARKER) == history:
            return
        now = self._clock.now()
        async for sessions in self._records.ended_and_unexpired(now):
            await asyncio.gather(*(redis.call("DEL", session_key(session)) for session in sessions))
        async for revoked in self._foreign.in_force(now):
            await asyncio.gather(*(self._refuse(redis, session, until - now) for session, until in revoked))
        async for users in self._records.users_changed_since(now - self._user_life):
            await asyncio.gather(*(self._follow(redis, user) for user in users))
        async for keys in self._api_keys.changed_since(now - 2 * KEY_LIFE):
            await asyncio.gather(*(self._follow_key(redis, key) for key in keys))
        await redis.call("SET", MARKER, history)

    async def _refuse(self, redis: Executor, session: str, life: float) -> Any:
        return await redis.run(BLACKLIST, *blacklist_call(session, ENTRY, life))

    async def _follow_key(self, redis: Executor, key: KeyRecord) -> Any:
        return await redis.run(PUT_KEY, [api_key_key(key.digest)], put_key_arguments(key, KEY_LIFE))

    async def _follow(self, redis: Executor, user: UserState) -> Any:
        return await redis.run(
            PUT_USER, [user_key(user.id)], put_user_arguments(user, self._user_life, only_known=True)
        )


def _history(server: bytes, replication: bytes) -> bytes:
    """The process, and whose data it has: either changes when a server restarts or a replica takes over."""
    return b" ".join((_field(server, b"run_id"), _field(replication, b"master_replid")))


def _field(info: bytes, name: bytes) -> bytes:
    for line in info.split(b"\r\n"):
        if line.startswith(name + b":"):
            return line[len(name) + 1 :]
    raise ValueError(f"INFO names no {name.decode()}")
