"""admin/views/exports.py: files of logins when the database goes away meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from attempts import attempt
from factories import NOW
from servers import PATIENCE

from admin.views.exports import LoginExports
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.questions import Seen
from gatekeeper.journal.rows import public


class Log:
    """A login log of endless portions, of which one cannot be read."""

    def __init__(self, broken: int) -> None:
        self._broken = broken
        self.read = 0

    async def portion(self, _wanted, *, count, after=None):
        self.read += 1
        if self.read == self._broken:
            raise StoreUnavailable("postgres", "away")
        one = attempt(email="ada@example.com")
        line = web.json_response(public(one)).text
        return [line] * count, Seen(one.time, one.id)


@pytest.fixture
async def served(aiohttp_client):
    """A client of both files over a log, and what is set once an answer has ended."""

    async def serve(log):
        app, over = web.Application(), asyncio.Event()

        def route(view):
            async def handle(request):
                try:
                    return await view(request, SimpleNamespace(now=NOW))
                finally:
                    over.set()

            return handle

        exports = LoginExports(log)
        app.router.add_get("/csv", route(exports.csv))
        app.router.add_get("/jsonl", route(exports.json_lines))
        return await aiohttp_client(app), over

    return serve


@pytest.mark.parametrize("name", ["csv", "jsonl"])
async def test_a_file_that_breaks_off_does_not_look_whole(served, name):
    client, _ = await served(Log(broken=3))
    answer = await client.get(f"/{name}")
    assert answer.status == 200
    with pytest.raises(aiohttp.ClientError):
        await answer.read()


async def test_an_outage_from_the_start_is_said_before_anything_is_sent(served):
    client, _ = await served(Log(broken=1))
    assert (await client.get("/csv")).status == 500  # here nobody turns it into a 503, as the guard does


async def test_whoever_leaves_ends_the_reading(served):
    client, over = await served(Log(broken=-1))
    answer = await client.get("/jsonl")
    await answer.content.readline()
    answer.close()
    async with asyncio.timeout(PATIENCE):
        await over.wait()
