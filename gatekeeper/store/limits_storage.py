"""A storage for the ``limits`` library whose commands ride in the shared batch. Made by ``redis.Redis``.

``limits`` keeps its own Lua and its own keys (``LIMITS:...``); only the way to the server is ours, and with it the
deadline and the breaker: an outage is ``StoreUnavailable`` at once, and what then happens is the caller's policy.
"""

from __future__ import annotations

from typing import Any

from limits.aio.storage import RedisStorage
from redis.asyncio import Redis as Client
from redis.exceptions import NoScriptError

from gatekeeper.store.batch import CommandRefused, Executor


class PipelinedStorage(RedisStorage):
    """``limits.aio.storage.RedisStorage`` over an ``Executor``."""

    def __init__(self, executor: Executor) -> None:
        self._client = _Through(executor)
        super().__init__("async+redis://", implementation="redispy")

    def configure_bridge(self) -> None:
        """Give the bridge our client; called by the constructor before it registers its scripts."""
        bridge: Any = self.bridge
        bridge.storage = self._client
        bridge.connection_getter = lambda _readonly: self._client


class _Through(Client):
    """A redis-py client without connections."""

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self._executor = executor

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        name, *rest = args
        try:
            reply = await self._executor.call(*name.split(), *rest)  # redis-py writes "SCRIPT LOAD" as one
        except CommandRefused as refused:
            if refused.code == "NOSCRIPT":
                raise NoScriptError(str(refused)) from None  # redis-py's Script loads it and calls again
            raise
        callback = self.response_callbacks.get(name)
        return callback(reply, **options) if callback else reply
