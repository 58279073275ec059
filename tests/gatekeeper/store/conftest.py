"""Servers of a test's own, to be killed, paused and restarted, and impostors of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import servers
import uvloop

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.redis import Redis

CALM = 30.0  # a time-out for tests that are not about time-outs

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_ON_BOTH_LOOPS = {"test_batch.py", "test_breaker.py", "test_redis.py", "test_postgres.py"}


async def _hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def _another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await _hang(reader, writer)


async def _half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    await _hang(reader, writer)


async def _one_byte_at_a_time(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"$1000\r\n" + 1000 * b"R":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


_MISBEHAVIOURS: dict[str, Behaviour] = {
    "hang": _hang,
    "reset": _reset,
    "another protocol": _another_protocol,
    "half-close": _half_close,
    "one byte at a time": _one_byte_at_a_time,
}


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The drivers touch the lower parts of the loop, so they are tested on both loops that the gate runs on."""
    if item.path.name in _ON_BOTH_LOOPS:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def make_valkey() -> Iterator[Callable[..., servers.Server]]:
    """Start servers with further options; they end with the test."""
    with contextlib.ExitStack() as stack:

        def make(*options: str) -> servers.Server:
            folder = stack.enter_context(servers.short_folder())
            return stack.enter_context(servers.valkey_server(folder, *options))

        yield make


@pytest.fixture
def valkey(make_valkey: Callable[..., servers.Server]) -> servers.Server:
    """A server to be broken."""
    return make_valkey()


@pytest.fixture
async def redis(valkey: servers.Server) -> AsyncIterator[Redis]:
    """A client of ``valkey`` with patience."""
    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM)
    await redis.open()
    yield redis
    await redis.close()


@pytest.fixture
def own_postgres() -> Iterator[servers.Server]:
    """A server to be broken."""
    with servers.short_folder() as folder, servers.postgres_server(folder) as server:
        yield server


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]:
    """Wait for what a call returns once the store is there (again)."""

    async def wait(attempt: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(servers.PATIENCE):
            while True:
                try:
                    return await attempt()
                except StoreUnavailable:
                    await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until a condition holds."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(servers.PATIENCE):
            while not condition():  # noqa: ASYNC110  # it is another process's state
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
async def impostor() -> AsyncIterator[Callable[[Behaviour], Awaitable[int]]]:
    """Serve a behaviour on a port of 127.0.0.1, and return the port."""
    tasks: set[asyncio.Task[Any]] = set()
    listeners: list[asyncio.Server] = []

    async def start(behave: Behaviour, **options: Any) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await behave(reader, writer)
            await _close(writer)

        listeners.append(await asyncio.start_server(serve, "127.0.0.1", 0, **options))
        return int(listeners[-1].sockets[0].getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(params=list(_MISBEHAVIOURS))
def misbehaviour(request: pytest.FixtureRequest) -> Behaviour:
    """Each way in which a server can be there and of no use."""
    return _MISBEHAVIOURS[request.param]


@pytest.fixture
def relay_to() -> Callable[[str], Behaviour]:
    """A behaviour that passes everything on to a unix socket."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        await _close(writer)

    def to(path: str) -> Behaviour:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_unix_connection(path)
            try:
                await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
            finally:
                await _close(inner_writer)

        return relay

    return to
