"""Redis for the rest of the store layer: batched commands, scripts, events and a storage for ``limits``.

Called by the store's own modules (``live.py``, ...), opened and closed by ``gatekeeper.app``. Every fault of
connection, time or role is ``StoreUnavailable("redis", ...)``, within ``timeout`` and usually at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.batch import NOT_SHARED, CommandRefused, Executor, Pipeline, Script
from gatekeeper.store.breaker import Breaker, Hook, Server, info_fields
from gatekeeper.store.limits_storage import PipelinedStorage

__all__ = ["CommandRefused", "Event", "Executor", "Redis", "Script"]

_QUIET: Final = 2.0  # seconds without a message after which a subscription's connection is asked whether it lives
_LONGEST_DELAY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Event:
    """A published message; ``data`` is None when the subscription (again) began and events may have been missed."""

    channel: str
    data: bytes | None


class Redis:
    """One server at a ``redis://``, ``rediss://`` or ``unix://`` URL, over one pipelined connection.

    ``timeout`` (seconds) bounds a call from its tick to its reply, ``connect_timeout`` an attempt to connect,
    which no caller waits for. ``on_new_server`` is awaited with an ``Executor`` whenever the data in force is not
    what this process last saw (first connect, restart, failover), before any caller's command goes out; if it
    raises, the server stays unavailable and is tried again. It must not wait for this object's own calls, and
    should send large replays in portions (1,000 commands at a time), each of which has to meet ``timeout``.
    """

    def __init__(
        self, url: str, *, timeout: float = 0.2, connect_timeout: float = 1.0, on_new_server: Hook | None = None
    ) -> None:
        self._server = Server.from_url(url)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._breaker = Breaker(
            self._server, timeout=timeout, connect_timeout=connect_timeout, on_new_server=on_new_server
        )
        self._limits: PipelinedStorage | None = None

    def __repr__(self) -> str:
        return f"Redis({self._server.place!r}, database={self._server.database}, healthy={self.healthy})"

    async def open(self) -> None:
        """Connect. Raises ``StoreUnavailable`` when the first attempt fails, and goes on trying all the same."""
        await self._breaker.start()
        self._live()

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        await self._breaker.stop()

    @property
    def healthy(self) -> bool:
        """Whether calls go out at the moment."""
        pipeline = self._breaker.pipeline
        return pipeline is not None and not pipeline.lost.done()

    def _live(self) -> Pipeline:
        pipeline = self._breaker.pipeline
        if pipeline is None:
            raise StoreUnavailable("redis", self._breaker.reason)
        return pipeline

    async def call(self, *command: object) -> Any:
        """One command, in one write with all others of this loop tick.

        Parts are str, bytes, int or float; the reply is bytes (never str), int, None or a list of these. Raises
        ``StoreUnavailable``, or ``CommandRefused`` for a command that is wrong in itself. May be cancelled at any
        time; the command may still take effect.
        """
        if command[0] in NOT_SHARED:
            raise ValueError(f"{command[0]} needs a connection of its own")
        pipeline = self._breaker.pipeline
        if pipeline is None:
            raise StoreUnavailable("redis", self._breaker.reason)
        return await pipeline.submit(command)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[object]) -> Any:
        """A script by its hash, in the same batch; loaded first where the server does not know it. As ``call``."""
        return await self._live().run(script, keys, args)

    def submit(self, script: Script, keys: Sequence[str], args: Sequence[object]) -> asyncio.Future[Any]:
        """A script by its hash, sent at once with what waits: for callers that gather a tick's work themselves.

        The future gets CommandRefused with ``NOSCRIPT`` where the server does not know the script; then use ``run``.
        Raises ``StoreUnavailable``.
        """
        pipeline = self._live()
        reply = pipeline.submit(("EVALSHA", script.sha1, len(keys), *keys, *args))
        pipeline.flush()
        return reply

    async def eviction_policy(self) -> str:
        """The server's ``maxmemory-policy``; anything but ``noeviction`` may drop sessions and revocations."""
        facts = info_fields(await self.call("INFO", "memory"))
        return facts.get(b"maxmemory_policy", b"unknown").decode()

    @property
    def limits_storage(self) -> PipelinedStorage:
        """An async storage for the ``limits`` library over this connection; raises ``StoreUnavailable`` too."""
        if self._limits is None:
            self._limits = PipelinedStorage(self)
        return self._limits

    async def subscribe(self, *channels: str) -> AsyncGenerator[Event, None]:
        """Messages of ``channels``, for ever, over a connection of its own that is made anew when lost.

        Use within ``contextlib.aclosing``. Each (re)start yields an ``Event`` without data for every channel:
        what was published in between is gone, so read the state again then. Never raises for an outage.
        """
        delay = 0.05
        while True:
            client = self._own_client()
            pubsub = client.pubsub()
            try:
                async with asyncio.timeout(self._connect_timeout):
                    await pubsub.subscribe(*channels)
                while True:
                    message = await _next_message(pubsub)
                    delay = 0.05
                    if message["type"] in {"subscribe", "message"}:
                        data = message["data"] if message["type"] == "message" else None
                        yield Event(message["channel"].decode(), data)
            except (RedisError, OSError):  # TimeoutError is an OSError
                _honour_cancellation()
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py's annotations have gaps
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose(close_connection_pool=True)
            _honour_cancellation()
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def _own_client(self) -> redis_py.Redis:
        options = {
            **self._server.options,
            "socket_timeout": max(self._timeout, 1.0),
            "socket_connect_timeout": self._connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": False,
            "protocol": 2,
            "health_check_interval": 0,
        }
        return redis_py.Redis(connection_pool=redis_py.ConnectionPool(max_connections=1, **options))


async def _next_message(pubsub: Any) -> dict[str, Any]:
    """The next message of any type; ``TimeoutError`` from a connection that does not answer a ping either."""
    for asked in (False, True):
        message: dict[str, Any] | None = await pubsub.get_message(timeout=_QUIET)
        _honour_cancellation()
        if message is not None:
            return message
        if not asked:
            await pubsub.ping()
    raise TimeoutError


def _honour_cancellation() -> None:
    """Raise the cancellation that redis-py has swallowed on its way: it turns some into its own errors or into None."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
