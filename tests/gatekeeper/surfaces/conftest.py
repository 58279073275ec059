"""Tunnels reach below aiohttp, so they are tested on both event loops: uvloop serves, asyncio is plain Python's."""

import asyncio

import pytest_asyncio
import uvloop
from gates import running_gate
from sockets import WebSockets

BOTH = {"test_tunnel.py"}


def pytest_asyncio_loop_factories(config, item):
    loops = {"asyncio": asyncio.new_event_loop}
    return loops | {"uvloop": uvloop.new_event_loop} if item.path.name in BOTH else loops


@pytest_asyncio.fixture
async def sockets():
    """An upstream that speaks WebSocket."""
    async with WebSockets() as upstream:
        yield upstream


@pytest_asyncio.fixture
async def ws_gate(postgres_dsn, redis_url, tmp_path, sockets):
    """A gate in front of ``sockets``: a public rule, one for a role, one for other protocols, one for all users."""
    async with running_gate(postgres_dsn, redis_url, tmp_path, **sockets.settings()) as gate:
        yield gate
