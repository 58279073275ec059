"""A burst over several gates and workers passes exactly the limit: one count, in the one round trip of each request."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from supervised import Supervised, free_port, supervised

from gatekeeper.clock import SystemClock

REQUESTS = 10_000
AMOUNT = 1_234
DAY = 86_400
LIMIT = {"rate": f"{AMOUNT}/1d, 9999/2d", "by": "rule"}
CLOCK = SystemClock()


def _started(stack: ExitStack, place: Path, storage: dict[str, Any], target: str) -> Supervised:
    port = free_port()
    place.mkdir()
    config = {
        "listen": [f"127.0.0.1:{port}"],
        "public_url": f"http://127.0.0.1:{port}",
        "workers": 2,
        "storage": storage,
        "upstreams": {"api": {"targets": [target]}},
        "rules": [
            {
                "name": "burst",
                "path": "/**",
                "allow": "anyone",
                "limit": {"rate": f"{AMOUNT}/1d, 9999/2d", "by": "rule"},
            }
        ],
        "limits": {"default": "100000000/minute"},
    }
    return stack.enter_context(supervised(place, config, app="gatekeeper.app:build")).wait_ready()


@pytest.mark.full
async def test_ten_thousand_requests_over_two_gates_of_two_workers_pass_exactly_the_limit(
    postgres_dsn, redis_url, tmp_path, upstream
):
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": "the same for gates that share a database"}
    with ExitStack() as stack:
        started = (
            asyncio.to_thread(_started, stack, tmp_path / name, storage, upstream.address) for name in ("one", "two")
        )
        gates = [await one for one in started]
        urls = [f"http://127.0.0.1:{gate.port}/x" for gate in gates]
        seen: Counter[int] = Counter()
        waiting = iter(range(REQUESTS))
        first_day = CLOCK.now() // DAY

        async def ask(client: aiohttp.ClientSession) -> None:
            for number in waiting:
                async with client.get(urls[number % len(urls)]) as answer:
                    await answer.read()
                    seen[answer.status] += 1

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
            await asyncio.gather(*(ask(client) for _ in range(200)))
        # The windows begin with the days of Unix time; only a burst over midnight may use two of them.
        days = 1 + CLOCK.now() // DAY - first_day
        assert AMOUNT <= seen[200] <= AMOUNT * days
        assert seen[200] + seen[429] == REQUESTS
        assert len(upstream.requests) == seen[200]
