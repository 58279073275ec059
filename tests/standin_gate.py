"""A stand-in for ``gatekeeper.app``: what a worker serves in the tests of supervisor and worker.

``/who`` says which process answers, ``/hold/NAME`` answers once the file NAME exists, ``/crash`` ends the process.
While the file ``broken`` exists a worker cannot start, while ``crashing`` exists it dies at its start.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from aiohttp import web

from gatekeeper.config.model import Config
from gatekeeper.errors import StartupError
from gatekeeper.inbound import TrustedProxies
from gatekeeper.observe.access import AccessLog
from gatekeeper.observe.metrics import Metrics
from gatekeeper.reload_desk import ReloadDesk
from gatekeeper.store.addresses import StoreAddresses


class StandIn:
    express = None
    panel = None

    def __init__(self, folder: Path, addresses: StoreAddresses) -> None:
        self._folder = folder
        self._addresses = addresses
        self._draining = False
        self.trusted, self.metrics = TrustedProxies(), Metrics()
        self.reloads = ReloadDesk()
        self.app, self.internal = web.Application(), web.Application()
        for app in (self.app, self.internal):
            app.router.add_get("/_gate/health/ready", self.ready)

    async def forward(self, request: web.Request) -> web.Response:
        match request.path.split("/")[1:]:
            case ["who"]:
                return web.json_response({"pid": os.getpid(), "redis": self._addresses.redis})
            case ["hold", name]:
                return await self.hold(name)
            case ["crash"]:
                os._exit(9)
        raise web.HTTPNotFound

    def reload(self, config: Config | None) -> None:
        (self._folder / f"reloaded-{os.getpid()}").write_text("none" if config is None else config.rules[0].name)

    def begin_drain(self) -> None:
        self._draining = True
        (self._folder / f"draining-{os.getpid()}").touch()

    async def ready(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self._draining else 200)

    async def hold(self, name: str) -> web.Response:
        (self._folder / f"{name}.held").touch()
        while not (self._folder / name).exists():  # noqa: ASYNC110  # made by another process
            await asyncio.sleep(0.01)
        return web.Response(text="held to the end")


async def build(config: Config, addresses: StoreAddresses, *, access: AccessLog | None) -> StandIn:
    folder = config.storage.data_dir
    if (folder / "crashing").exists():
        os._exit(7)
    if (folder / "broken").exists():
        raise StartupError("the stand-in is broken")
    return StandIn(folder, addresses)
