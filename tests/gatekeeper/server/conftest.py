"""A small application on the gate's runner, and clients that send bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from aiohttp import web

from gatekeeper.config.model import Sizes, Timeouts
from gatekeeper.server import make_runner

DEADLINE = 30.0  # seconds; generous, a test fails sooner only by being wrong


@dataclass
class Served:
    """A running application: what its handlers saw, and how to talk to it."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, *parts: bytes) -> bytes:
        """All that comes back until the server closes; each part goes out in a write of its own."""
        async with self.connected() as (reader, writer):
            with suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
            return await until_closed(reader)

    @staticmethod
    async def eventually(holds: Callable[[], object]) -> None:
        """Wait for what the server does unasked; it has no event to wait for."""
        async with asyncio.timeout(DEADLINE):
            while not holds():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)

    def connection(self) -> Any:
        """The server's side of the one open connection."""
        assert self.runner is not None
        assert self.runner.server is not None
        return self.runner.server.connections[0]

    def lane(self) -> Any:
        """The server's side of the one open lean connection."""
        assert self.runner is not None
        (lane,) = self.runner.server._lanes.open
        return lane

    async def status(self, *parts: bytes) -> int:
        """The one answer's status; 0 where the connection was closed without one."""
        answer = await self.ask(*parts)
        assert answer.count(b"HTTP/1.") <= 1, answer
        return int(answer.split(b" ", 2)[1]) if answer else 0


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    got = bytearray()
    with suppress(ConnectionError):  # a reset is a way to close too
        async with asyncio.timeout(DEADLINE):
            while part := await reader.read(65536):
                got += part
    return bytes(got)


def application(served: Served) -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        served.seen.append(f"{request.method} {request.raw_path}")
        body = await request.read()
        served.bodies.append(body)
        return web.Response(body=body)

    async def deaf(request: web.Request) -> web.Response:
        served.seen.append(request.raw_path)
        return web.Response(text="did not listen")

    async def boom(_request: web.Request) -> web.Response:
        raise RuntimeError("secret detail\r\nsecond line")

    async def slow(request: web.Request) -> web.Response:
        served.seen.append(request.raw_path)
        served.entered.set()
        try:
            await served.release.wait()
        except asyncio.CancelledError:
            served.cancelled.set()
            raise
        return web.Response(text="at last")

    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        served.entered.set()
        try:
            while True:
                await answer.write(b"x" * 65536)
        except (asyncio.CancelledError, ConnectionError):
            served.cancelled.set()
            raise

    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/deaf", deaf)
    app.router.add_route("*", "/boom", boom)
    app.router.add_route("*", "/slow", slow)
    app.router.add_route("*", "/flood", flood)
    app.router.add_route("*", "/{rest:.*}", echo)
    return app


@asynccontextmanager
async def serving() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(
            *,
            sizes: dict[str, int] | None = None,
            app: web.Application | None = None,
            express: Any = None,
            **timeouts: float,
        ) -> Served:
            served = Served()
            runner = make_runner(
                app or application(served),
                timeouts=Timeouts().model_copy(update={"drain": 1.0, **timeouts}),
                sizes=Sizes().model_copy(update=sizes or {}),
                express=express,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            served.runner, served.port = runner, runner.addresses[0][1]
            return served

        yield start


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """``await serve(head=..., sizes={...})``: seconds of Timeouts, and Sizes, that differ from the defaults."""
    async with serving() as start:
        yield start


@pytest.fixture
def on_uvloop() -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Run a test function that takes ``serve`` on the loop that the workers use."""

    def run(test: Callable[[Any], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with serving() as start:
                await test(start)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole())

    return run
