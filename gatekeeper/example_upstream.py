"""An API to try the gate on: answers every request with what arrived, as JSON. Started by ``serve --example-upstream``.

Not for production, and without any protection of its own: that is the point of it.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from typing import Final

from aiohttp import web

from gatekeeper.handover import Control, end_with_supervisor, obey_supervisor_only
from gatekeeper.listeners import BACKLOG, allow_quick_restart

SHOWN: Final = 1 << 20  # bytes of a body that are echoed; the rest is read, counted and thrown away
_GRACE: Final = 2.0  # seconds for answers in flight at the end


async def echo(request: web.Request) -> web.Response:
    """Method, path (with the query, as it came), headers and body; fields sent several times are joined by commas."""
    kept, size = bytearray(), 0
    async for part in request.content.iter_chunked(64 << 10):
        size += len(part)
        kept += part[: SHOWN - len(kept)]
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": headers,
            "body": kept.decode(errors="replace"),
            "body_bytes": size,
        }
    )


def application() -> web.Application:
    """The API, for whatever path."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    return app


async def serve(control_descriptor: int, listener: socket.socket) -> None:
    """Answer on ``listener`` until the supervisor says to stop or is gone."""
    control = await Control.open(control_descriptor)
    runner = web.AppRunner(application(), access_log=None, shutdown_timeout=_GRACE, auto_decompress=False)
    await runner.setup()
    try:
        allow_quick_restart(listener)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        control.say_ready()
        await control.order()
    finally:
        await runner.cleanup()
        await control.close()


def main() -> int:
    """The process, from its arguments to its exit status."""
    obey_supervisor_only()
    parser = argparse.ArgumentParser(prog="gatekeeper.example_upstream")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--listener", type=int, required=True)
    given = parser.parse_args()
    end_with_supervisor(given.control, _GRACE + 1)
    asyncio.run(serve(given.control, socket.socket(fileno=given.listener)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
