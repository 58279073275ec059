"""``P/health/live`` and ``P/health/ready``: whether the process lives, and whether it should get requests.

Any Host is answered, since probes come by address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.errors import GatekeeperError

Check = Callable[[], Awaitable[None]]
DEADLINE = 2.0  # seconds for all checks together


class Health:
    """Liveness and readiness; ``checks`` by name raise GatekeeperError or OSError when their part fails."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self.draining = False

    def replace(self, prefix: str, checks: Mapping[str, Check]) -> None:
        """Put ``checks`` in the place of those whose names begin with ``prefix``."""
        kept = {name: check for name, check in self._checks.items() if not name.startswith(prefix)}
        self._checks = {**kept, **checks}

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        return [
            web.get(f"{prefix}/health/live", self.live),
            web.get(f"{prefix}/health/ready", self.ready),
        ]

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the event loop turns."""
        return json_answer({"status": "live"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200, or 503 naming what failed; 503 from the moment of SIGTERM."""
        if self.draining:
            return json_answer({"status": "draining", "failed": ["draining"]}, status=503)
        failed = [name for name, passed in await self.parts() if not passed]
        if failed:
            return json_answer({"status": "not ready", "failed": failed}, status=503)
        return json_answer({"status": "ready"})

    async def parts(self) -> list[tuple[str, bool]]:
        """Each part by name, and whether it is well."""
        names = list(self._checks)
        outcomes = await asyncio.gather(*(self._passes(self._checks[name]) for name in names))
        return list(zip(names, outcomes, strict=True))

    @staticmethod
    async def _passes(check: Check) -> bool:
        try:
            async with asyncio.timeout(DEADLINE):
                await check()
        except (GatekeeperError, OSError):
            return False
        return True
