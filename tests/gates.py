"""A whole gate in the test's own process, over real stores, on a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from factories import NOW, PASSWORD, SECRET
from yarl import URL

from gatekeeper.app import Gatekeeper, build
from gatekeeper.bootstrap import prepare_stores
from gatekeeper.clock import ManualClock
from gatekeeper.config.model import Config
from gatekeeper.identity.passwords import Argon2Cost
from gatekeeper.server import make_runner
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.postgres import Postgres

PATIENCE = 60.0
CHEAP = Argon2Cost(time=1, memory=8, lanes=1)


class Shown:
    """What the console sender has printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line.decode().removesuffix("\n"))

    def code(self, email: str, purpose: str) -> str:
        """The newest code for this e-mail and purpose."""
        return self._newest(f"OTP for {email} ({purpose}): ")

    def token(self, email: str, purpose: str) -> str:
        """The token in the newest link."""
        link = URL(self._newest(f"Link for {email} ({purpose}): "))
        return link.query.get("token") or link.query["invite"]

    def _newest(self, start: str) -> str:
        found = [line.removeprefix(start) for line in self.lines if line.startswith(start)]
        assert found, f"no line begins with {start!r}: {self.lines}"
        return found[-1]


@dataclass
class RunningGate:
    """A gate that answers at ``url``."""

    url: str
    listening: str
    config: Config
    clock: ManualClock
    gatekeeper: Gatekeeper
    client: aiohttp.ClientSession
    setup_token: str | None
    dsn: str
    console: Shown

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the gate's database says, with every attempt that was answered by now."""
        await self.gatekeeper.login_log.settle(PATIENCE)
        postgres = Postgres(self.dsn, size=1, timeout=30.0)
        try:
            return await postgres.fetch(sql)
        finally:
            await postgres.close()

    async def call(self, method: str, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """One request; the answer's body is read."""
        if path.startswith(("/_gate/admin", "/_gate/account")):  # these show attempts
            await self.gatekeeper.login_log.settle(PATIENCE)
        async with self.client.request(
            method, URL(self.url + path, encoded=True), allow_redirects=False, **kwargs
        ) as answer:
            await answer.read()
            return answer

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> aiohttp.ClientResponse:
        """POST JSON to ``P/auth``."""
        return await self.call("POST", f"/_gate/auth/{path}", json=body, **kwargs)

    async def register(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        """A new account."""
        answer = await self.post("register", {"email": email, "password": password})
        assert answer.status == 201, await answer.text()
        return await answer.json()

    async def login(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        """A token answer."""
        answer = await self.post("login", {"email": email, "password": password})
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def newcomer(self, email: str = "ada@example.com") -> dict[str, Any]:
        """Register and log in."""
        await self.register(email)
        return await self.login(email)

    async def give_roles(self, user: str, *roles: str) -> None:
        """As ``gatekeeper user role`` does: in the database, before the user's next login."""
        postgres = Postgres(self.dsn, size=1, timeout=30.0)
        try:
            await PostgresAccounts(postgres).set_roles(user, roles, self.clock.now())
        finally:
            await postgres.close()


class OneGate:
    """Base of a class of tests that share a gate, since they leave nothing behind that another could notice."""

    pytestmark = pytest.mark.asyncio(loop_scope="class")

    @pytest.fixture
    def gate(self, gate_of_class: RunningGate) -> RunningGate:
        """The one of the class."""
        return gate_of_class


def bearer(tokens: dict[str, Any] | str) -> dict[str, str]:
    """The Authorization field of a token answer or of an access token."""
    token = tokens if isinstance(tokens, str) else tokens["access_token"]
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def running_gate(
    postgres: str,
    redis: str,
    data_dir: Path,
    *,
    clock: ManualClock | None = None,
    express: bool = True,
    host: str = "127.0.0.1",
    **settings: Any,
) -> AsyncIterator[RunningGate]:
    """A gate over migrated stores; ``settings`` are those of config.yaml. Without ``express`` aiohttp serves it all.

    ``host`` is that of ``public_url``: passkeys want a name, such as localhost.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with _running(
            listener, postgres, redis, data_dir, clock or ManualClock(NOW), settings, express=express, host=host
        ) as gate:
            yield gate


@asynccontextmanager
async def _running(
    listener: socket.socket,
    postgres: str,
    redis: str,
    data_dir: Path,
    clock: ManualClock,
    settings: dict[str, Any],
    *,
    express: bool,
    host: str,
) -> AsyncIterator[RunningGate]:
    url = f"http://{host}:{listener.getsockname()[1]}"
    settings["limits"] = {"default": "10000000/minute", **settings.get("limits", {})}
    settings["logs"] = {"spool_sync": False, "archive_to": str(data_dir / "archive"), **settings.get("logs", {})}
    patience = {"postgres_timeout": f"{PATIENCE:g}s", "redis_timeout": f"{PATIENCE:g}s"}
    storage = {"data_dir": data_dir, "secret": SECRET, **patience, **settings.pop("storage", {})}
    config = Config.model_validate({"public_url": url, "storage": storage, **settings})
    prepared = await prepare_stores(config, postgres, clock)
    shown = Shown()
    gate = await build(config, StoreAddresses(postgres, redis), clock=clock, argon2=CHEAP, console=shown)
    runner = make_runner(
        gate.app,
        timeouts=config.timeouts,
        sizes=config.sizes,
        prefix=config.prefix,
        forward=gate.forward,
        express=gate.express if express else None,
    )
    await runner.setup()
    await aiohttp.web.SockSite(runner, listener).start()
    jar = aiohttp.DummyCookieJar()
    # A connection a request: one that has met the gate's own endpoints stays with the framework.
    connector = aiohttp.TCPConnector(force_close=express)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, auto_decompress=False, skip_auto_headers=["Accept-Encoding"]
    ) as client:
        try:
            yield RunningGate(
                config.public_url, url, config, clock, gate, client, prepared.setup_token, postgres, shown
            )
        finally:
            await runner.cleanup()
