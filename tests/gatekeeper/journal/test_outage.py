"""Security 23: a login that PostgreSQL's absence ends is answered 503, and its row arrives once when it is back."""

from __future__ import annotations

import asyncio

import pytest
import servers
from factories import PASSWORD
from gates import running_gate
from second_factors import challenged, code, enrol_passkey, enrol_totp

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


async def test_so_has_one_by_any_other_method(own_postgres, redis_url, tmp_path):
    await migrate(own_postgres.url)
    async with running_gate(own_postgres.url, redis_url, tmp_path) as gate:
        app = await enrol_totp(gate, await gate.newcomer("ada@example.com"))
        key = (await enrol_passkey(gate, await gate.newcomer("bob@example.com"))).passkey
        await gate.register("eve@example.com")
        second = await challenged(gate, "ada@example.com", PASSWORD)
        options = await (await gate.post("passkey/options", {})).json()
        mailed = await (await gate.post("otp/request", {"email": "eve@example.com", "purpose": "login"})).json()
        tries = {
            "totp/verify": {"challenge": second["challenge"], "code": code(app.secret, gate)},
            "passkey/verify": {"challenge": options["challenge"], "response": key.get(options["public_key"])},
            "otp/verify": {"challenge": mailed["challenge"], "code": gate.console.code("eve@example.com", "login")},
        }
        gate.clock.advance(1)
        since = gate.clock.now()
        own_postgres.stop()
        answers = [await gate.post(path, body) for path, body in tries.items()]
        assert [answer.status for answer in answers] == [503] * 3
        own_postgres.start()
        rows = await gate.rows(
            "SELECT email, method, factor, result, reason FROM login_logs"
            f" WHERE time >= to_timestamp({since}) ORDER BY method, email"
        )
    assert [tuple(row.values()) for row in rows] == [
        ("eve@example.com", "otp", None, "blocked", "store-unavailable"),
        ("", "passkey", None, "blocked", "store-unavailable"),
        ("", "totp", "totp", "blocked", "store-unavailable"),
    ]
