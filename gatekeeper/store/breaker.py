"""Finds the Redis server, stays on it, and knows when it may be used. Held by ``redis.Redis``.

A circuit breaker with one probe: while there is no connection whose server answered, is a master, has loaded its
data and (when it is new) had revocations replayed into it, there is no ``pipeline`` and every call fails at once.
One task looks for the server again after 50 ms to 1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from gatekeeper.errors import GatekeeperError, StartupError, StoreUnavailable
from gatekeeper.store.batch import CommandRefused, Executor, Pipeline

Hook = Callable[[Executor], Awaitable[None]]

_FIRST_DELAY: Final = 0.05  # seconds
_LONGEST_DELAY: Final = 0.8
_PROBE_EVERY: Final = 1.0
_HOOK_DEADLINE: Final = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data it is: the process, and the replication history that its data belongs to.

    ``run_id`` changes with every start of a server; ``history`` also when a server took over another's data
    and came back as master.
    """

    run_id: bytes
    history: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """Where Redis is and how to be let in, out of a redis://, rediss:// or unix:// URL."""

    place: str
    host: str
    port: int
    path: str | None
    database: int
    credentials: tuple[str, ...] = field(repr=False)
    tls: ssl.SSLContext | None
    options: dict[str, Any] = field(repr=False)  # what redis-py makes of the URL; for its own connections

    @classmethod
    def from_url(cls, url: str) -> Server:
        """Read a URL as redis-py does (``?ssl_ca_certs=`` and the like included); ``StartupError`` when it is none."""
        try:
            options: dict[str, Any] = dict(parse_url(url))
            path = urlsplit(url).path.strip("/")
            if "path" not in options and path and not path.isdigit():
                raise ValueError("the database is not a number")
            kind = options.get("connection_class", Connection)
            sample = kind(**{name: value for name, value in options.items() if name != "connection_class"})
            tls = sample.ssl_context.get() if isinstance(sample, SSLConnection) else None
        except (ValueError, TypeError, OSError, RedisError):
            # Not chained and not quoted: the message of a URL error may hold a part of the password.
            raise StartupError("storage.redis: not a usable redis://, rediss:// or unix:// URL") from None
        user, password = options.get("username"), options.get("password") or ""
        host, port = str(options.get("host", "localhost")), int(options.get("port", 6379))
        return cls(
            place=options.get("path") or f"{host}:{port}",
            host=host,
            port=port,
            path=options.get("path"),
            database=int(options.get("db", 0)),
            credentials=(user, password) if user else (password,) if password else (),
            tls=tls,
            options=options,
        )

    async def connect(self, timeout: float) -> Pipeline:
        """Connect and be let in; ``timeout`` is that of each later call. The caller sets the deadline."""
        loop = asyncio.get_running_loop()
        pipeline = Pipeline(loop, timeout)
        try:
            if self.path is not None:
                await loop.create_unix_connection(lambda: pipeline, self.path)
            else:
                await loop.create_connection(lambda: pipeline, self.host, self.port, ssl=self.tls)
            if self.credentials:
                await pipeline.call("AUTH", *self.credentials)
            if self.database:
                await pipeline.call("SELECT", self.database)
            with contextlib.suppress(CommandRefused):  # a name is a courtesy to whoever reads CLIENT LIST
                await pipeline.call("CLIENT", "SETNAME", "gatekeeper")
        except BaseException:
            pipeline.close("not let in")
            raise
        return pipeline


async def identify(pipeline: Pipeline) -> Identity:
    """Who answers; ``StoreUnavailable`` unless it is a master with its data loaded."""
    sections = ("server", "replication", "persistence")
    texts = await asyncio.gather(*(pipeline.call("INFO", section) for section in sections))
    facts = info_fields(b"\n".join(texts))
    if facts.get(b"role", b"master") != b"master":
        raise StoreUnavailable("redis", "the server is a replica")
    if facts.get(b"loading", b"0") != b"0":
        raise StoreUnavailable("redis", "the server is loading its data")
    return Identity(facts.get(b"run_id", b""), facts.get(b"master_replid", b""))


def info_fields(text: bytes) -> dict[bytes, bytes]:
    """The ``name:value`` lines of an INFO reply."""
    pairs = (line.strip().partition(b":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


class Breaker:
    """Keeps ``pipeline`` either fit for use or None, and ``reason`` saying why it is None."""

    def __init__(self, server: Server, *, timeout: float, connect_timeout: float, on_new_server: Hook | None) -> None:
        self._server = server
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._on_new_server = on_new_server
        self._in_force: Identity | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.pipeline: Pipeline | None = None
        self.reason = "not opened"

    async def start(self) -> None:
        """Begin to look for the server and wait for the outcome of the first attempt."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="redis breaker")
        await self._tried.wait()

    async def stop(self) -> None:
        """End the connection and stop looking."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        self.reason = "closed"

    async def _keep(self) -> None:
        delay = _FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._attend()
            except Exception as fault:  # noqa: BLE001  # whatever it met, the keeper goes on: without it nothing heals
                self._break(_one_line(fault, self._connect_timeout))
            finally:
                self.pipeline = None
            self._tried.set()
            if loop.time() - begun > 2 * _LONGEST_DELAY:  # it worked for a while: a new story
                delay = _FIRST_DELAY
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  # spreads gates, hides nothing
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _attend(self) -> None:
        """One connection's life, from connecting to its loss; ends in an exception."""
        async with asyncio.timeout(self._connect_timeout):
            pipeline = await self._server.connect(self._timeout)
        try:
            identity = await identify(pipeline)
            if identity != self._in_force:
                await self._greet(pipeline)
                self._in_force = identity
            self._mend(pipeline)
            while not (await asyncio.wait({pipeline.lost}, timeout=_PROBE_EVERY))[0]:
                # Many callers are no outage: a server that is gone is found by the deadline of what they wait for.
                if not pipeline.crowded and await identify(pipeline) != identity:
                    raise StoreUnavailable("redis", "the server has changed its data")
            raise StoreUnavailable("redis", pipeline.lost.result())
        finally:
            self.pipeline = None  # first: nobody may come to the one that is closing
            pipeline.close("closed")

    async def _greet(self, pipeline: Pipeline) -> None:
        if self._on_new_server is None:
            return
        try:
            async with asyncio.timeout(_HOOK_DEADLINE):
                await self._on_new_server(pipeline)
        except TimeoutError:
            raise StoreUnavailable("redis", "a new server was not prepared in time") from None

    def _mend(self, pipeline: Pipeline) -> None:
        if self._tried.is_set():
            log.info("redis at %s is available again", self._server.place)
        self.pipeline = pipeline
        self._tried.set()

    def _break(self, reason: str) -> None:
        if reason != self.reason:
            log.warning("redis at %s is unavailable: %s", self._server.place, reason)
        self.reason = reason


def _one_line(fault: Exception, connect_timeout: float) -> str:
    if isinstance(fault, TimeoutError):
        return f"no connection within {connect_timeout:g} s"
    text = str(fault).removeprefix("redis: ") if isinstance(fault, GatekeeperError | CommandRefused | OSError) else ""
    return " ".join(text.split()) or type(fault).__name__
