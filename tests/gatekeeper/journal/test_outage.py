"""Security 23: a login that PostgreSQL's absence ends is answered 503, and its row arrives once when it is back."""

from __future__ import annotations

import asyncio

import pytest
import servers
from gates import running_gate

from gatekeeper.store.migrate import migrate


@pytest.fixture
def own_postgres():
    with servers.short_folder() as folder, servers.postgres_server(folder) as server:
        yield server


async def test_a_login_during_an_outage_of_the_database_has_one_row_afterwards(own_postgres, redis_url, tmp_path):
    await migrate(own_postgres.url)
    async with running_gate(own_postgres.url, redis_url, tmp_path) as gate:
        await gate.register("ada@example.com")
        own_postgres.stop()
        answers = await asyncio.gather(
            *(gate.post("login", {"email": f"u{number}@example.com", "password": "wrong"}) for number in range(3))
        )
        assert [answer.status for answer in answers] == [503] * 3
        assert not gate.gatekeeper.login_log.spool.empty
        own_postgres.start()
        rows = await gate.rows("SELECT email, result, reason FROM login_logs ORDER BY email")
    assert [tuple(row.values()) for row in rows] == [
        (f"u{number}@example.com", "blocked", "store-unavailable") for number in range(3)
    ]
