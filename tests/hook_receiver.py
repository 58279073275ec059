"""A receiver of webhooks: an HTTP server that keeps what it was sent and checks signatures as a program would."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web

_PATIENCE = 60.0  # seconds; under any load


@dataclass
class Receiver:
    """``calls`` are (path, headers, body); it answers ``status``."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.arrived:
            self.calls.append((request.path, dict(request.headers), body))
            self.arrived.notify_all()
        return web.Response(status=self.status, headers=self.headers)

    async def events(self, secret: str, *types: str) -> list[dict[str, Any]]:
        """What it was told, signatures checked, once all ``types`` are among them."""

        def told() -> list[dict[str, Any]]:
            return [verified(secret, headers, body) for _, headers, body in self.calls]

        async with asyncio.timeout(_PATIENCE), self.arrived:
            await self.arrived.wait_for(lambda: set(types) <= {event["type"] for event in told()})
            return told()


def verified(secret: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The event of a call, if its signature is right."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret.encode(), signed, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    event: dict[str, Any] = json.loads(body)
    return event


@asynccontextmanager
async def hook_receiver() -> AsyncIterator[Receiver]:
    """Listens on 127.0.0.1."""
    one = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.port = runner.addresses[0][1]
    yield one
    await runner.cleanup()
