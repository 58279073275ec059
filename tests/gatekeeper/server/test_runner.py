"""The runner: what it refuses to start with, what it leaves out of answers, how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

from aiohttp import web

DEADLINE = 30.0


def test_the_gate_does_not_start_on_aiohttps_python_parser() -> None:
    """It accepts messages that must fail."""
    code = (
        "from aiohttp import web\n"
        "from gatekeeper.config.model import Sizes, Timeouts\n"
        "from gatekeeper.errors import StartupError\n"
        "from gatekeeper.server import make_runner\n"
        "try:\n    make_runner(web.Application(), timeouts=Timeouts(), sizes=Sizes())\n"
        "except StartupError as fault:\n    print(fault)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIOHTTP_NO_EXTENSIONS": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "C extension" in told.stdout
    assert told.stdout.count("\n") == 1


async def test_no_answer_names_the_software(serve: Any) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"part")
        return answer

    async def own(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/x")

    app = web.Application()
    app.router.add_get("/stream", stream)
    app.router.add_get("/found", own)
    served = await serve(app=app)
    for path in (b"/stream", b"/found", b"/none"):
        answer = await served.ask(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 ")
        assert b"\r\nserver:" not in head
        assert b"\r\ndate:" in head


async def test_cleanup_lets_a_request_in_flight_finish(serve: Any) -> None:
    served = await serve(drain=DEADLINE)
    async with served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        ending = asyncio.create_task(served.runner.cleanup())
        await served.eventually(lambda: not served.runner.sites)
        served.release.set()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
        await asyncio.wait_for(ending, DEADLINE)
    assert b"at last" in answer


async def test_cleanup_closes_idle_connections_and_ends_what_outlasts_the_drain(serve: Any) -> None:
    served = await serve(drain=0.2)
    async with served.connected() as (idle, _), served.connected() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(served.entered.wait(), DEADLINE)
        await asyncio.wait_for(served.runner.cleanup(), DEADLINE)
        assert await asyncio.wait_for(idle.read(), DEADLINE) == b""
        assert b"at last" not in await asyncio.wait_for(reader.read(), DEADLINE)
    assert served.cancelled.is_set()
