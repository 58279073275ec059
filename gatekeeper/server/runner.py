"""``make_runner``: an aiohttp AppRunner whose connections are ``server.connection.Connection``. Used by the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.web_server import Server

from gatekeeper.config.model import Sizes, Timeouts
from gatekeeper.errors import StartupError
from gatekeeper.inbound import WELL_KNOWN, Arrival
from gatekeeper.server.bounds import Bounds
from gatekeeper.server.connection import Connection
from gatekeeper.server.lane import Lane, Lanes, Service

Forward = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_runner(
    app: web.Application,
    *,
    timeouts: Timeouts,
    sizes: Sizes,
    prefix: str = "",
    forward: Forward | None = None,
    express: Service | None = None,
) -> web.AppRunner:
    """A runner for ``app``: no access log of aiohttp's, no decompression, handlers cancelled when the client leaves.

    With ``forward``, only what is under ``prefix``, or is ``WELL_KNOWN``, as the client spelled it goes through the
    application and its router; everything else is given to ``forward`` at once, since routing costs as much as
    deciding. With ``express`` connections begin as lanes, and plain requests never meet aiohttp.

    ``runner.cleanup()`` lets requests in flight go on for ``timeouts.drain``. Raises StartupError where aiohttp
    lacks its C extension, since its Python parser accepts messages that must fail.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise StartupError("aiohttp lacks its C extension, whose parser is the strict one; install a wheel of it")
    bounds = Bounds(
        head=timeouts.head,
        body_idle=timeouts.body_idle,
        idle=timeouts.idle,
        max_fields=sizes.headers,
        max_head=sizes.head,
        max_body=sizes.body,
    )
    return _Runner(app, bounds, shutdown_timeout=timeouts.drain, prefix=f"{prefix}/", forward=forward, express=express)


class _Runner(web.AppRunner):
    """An AppRunner that makes Connections."""

    __slots__ = ("_bounds", "_express", "_forward", "_prefix")

    def __init__(
        self,
        app: web.Application,
        bounds: Bounds,
        *,
        shutdown_timeout: float,
        prefix: str,
        forward: Forward | None,
        express: Service | None,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._express = express
        self._bounds = bounds
        self._prefix = prefix
        self._forward = forward

    async def _make_server(self) -> Server:
        return _Server(await super()._make_server(), self._bounds, self._prefix, self._forward, self._express)


class _Server(Server):
    """The application's own server in all but its connections and its requests."""

    def __init__(
        self, of_app: Server, bounds: Bounds, prefix: str, forward: Forward | None, express: Service | None
    ) -> None:
        super().__init__(
            self._screened,
            request_factory=partial(of_app.request_factory, _cls=_Request),  # type: ignore[call-arg]  # Application's has it
            handler_cancellation=True,
        )
        self._handle = of_app.request_handler
        self._bounds = bounds
        self._prefix = prefix
        self._forward = forward
        self._lanes = None if express is None else Lanes(express, bounds, self.connection)

    def _screened(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Not ``async``: a request that passes costs no coroutine more."""
        connection = request.protocol
        refusal = connection.screen(request) if isinstance(connection, Connection) else None
        if refusal is not None:
            return refusal
        raw = request.raw_path
        if self._forward is None or raw.startswith(self._prefix) or raw.partition("?")[0] == WELL_KNOWN:
            return self._handle(request)
        return self._forward(cast("web.Request", request))

    def __call__(self, arrival: Arrival | None = None) -> Connection:
        """A protocol for a new socket; without ``arrival`` the socket says whose it is."""
        if self._lanes is not None:
            return Lane(self._lanes, self._loop, arrival)  # type: ignore[return-value]  # a socket does not mind
        return self.connection(arrival)

    def connection(self, arrival: Arrival | None = None) -> Connection:
        """The framework's own."""
        return Connection(self, self._bounds, arrival, loop=self._loop)

    def pre_shutdown(self) -> None:
        """Accepting has stopped: what is idle is closed."""
        if self._lanes is not None:
            self._lanes.drain()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Wait for requests under way, ``timeout`` seconds at most."""
        if self._lanes is not None:
            await asyncio.gather(self._lanes.shutdown(timeout), super().shutdown(timeout))
        await super().shutdown(timeout)


class _Request(web.Request):
    """A request whose answer does not say which software made it."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        response.headers.pop("Server", None)
