"""Revocation is in force on the next request, on every node, and survives Redis (security 12, 14)."""

import asyncio

import pytest
import servers
from gates import bearer, running_gate

from gatekeeper.bootstrap import postgres_at
from gatekeeper.identity.accounts import Accounts
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis


@pytest.fixture
async def two_gates(postgres_dsn, redis_url, tmp_path, upstream):
    """Two gates that share one Redis and one PostgreSQL, as one service would behind a balancer."""
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "hosts": ["127.0.0.1"]}
    async with running_gate(postgres_dsn, redis_url, tmp_path / "one", **settings) as one:
        settings["public_url"] = one.url
        async with running_gate(postgres_dsn, redis_url, tmp_path / "two", clock=one.clock, **settings) as two:
            two.url = two.listening  # or both would be asked at the first one
            yield one, two


async def _status(gate, tokens):
    return (await gate.call("GET", "/x", headers=bearer(tokens))).status


async def test_logout_at_one_gate_is_refused_at_the_other_on_the_very_next_request(two_gates):
    """security 12"""
    one, two = two_gates
    tokens = await one.newcomer()
    for _ in range(20):
        assert await _status(two, tokens) == 200
        await one.post("logout", {}, headers=bearer(tokens))
        assert await _status(two, tokens) == 401
        tokens = await two.login("ada@example.com")


async def test_a_refresh_at_one_gate_is_known_at_the_other(two_gates):
    """security 11"""
    one, two = two_gates
    first = await one.newcomer()
    second = await (await two.post("refresh", {"refresh_token": first["refresh_token"]})).json()
    one.clock.advance(60)
    assert (await one.post("refresh", {"refresh_token": first["refresh_token"]})).status == 401
    assert await _status(two, second) == 401


@pytest.mark.parametrize("change", ["lock", "log_out", "set_password"])
async def test_a_change_of_the_account_ends_its_sessions_at_every_gate(two_gates, postgres_dsn, redis_url, change):
    """security 12"""
    one, two = two_gates
    tokens = await one.newcomer()
    redis = Redis(redis_url, timeout=5.0)
    await redis.open()
    async with postgres_at(postgres_dsn) as postgres:
        accounts = Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))
        arguments = ("a hash",) if change == "set_password" else ()
        await getattr(accounts, change)(tokens["user"]["id"], *arguments, one.clock.now())
    await redis.close()
    assert [await _status(gate, tokens) for gate in two_gates] == [401, 401]
    answer = await two.post("refresh", {"refresh_token": tokens["refresh_token"]})
    assert answer.status == 401
    ended = await one.rows("SELECT end_reason FROM sessions WHERE ended_at IS NOT NULL")
    assert len(ended) == 1


async def _until_ready(gate):
    async with asyncio.timeout(60):
        while (await gate.call("GET", "/_gate/health/ready")).status != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def test_a_flushed_redis_revives_nothing(gate, redis_url):
    """security 14"""
    tokens = await gate.newcomer()
    gone = await gate.login("ada@example.com")
    await gate.post("logout", {}, headers=bearer(gone))
    redis = Redis(redis_url, timeout=5.0)
    await redis.open()
    await redis.call("FLUSHALL")
    await redis.close()
    for pair in (tokens, gone):
        assert await _status(gate, pair) == 401
        assert (await gate.post("refresh", {"refresh_token": pair["refresh_token"]})).status == 401
    assert await _status(gate, await gate.login("ada@example.com")) == 200


async def test_a_redis_that_comes_back_with_older_data_revives_nothing(postgres_dsn, tmp_path, short_tmp, upstream):
    """security 14: endings, epochs and locks are replayed from PostgreSQL before the first request"""
    with servers.valkey_server(short_tmp) as valkey:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, valkey.url, tmp_path, **settings) as gate:
            kept, logged_out = await gate.newcomer(), await gate.login("ada@example.com")
            locked = await gate.newcomer("eve@example.com")
            redis = Redis(valkey.url, timeout=5.0)
            await redis.open()
            old = {key: await redis.call("DUMP", key) for key in await redis.call("KEYS", "gate:*")}
            ended = f"/_gate/auth/sessions/{logged_out['session_id']}"
            assert (await gate.call("DELETE", ended, headers=bearer(kept))).status == 204
            async with postgres_at(postgres_dsn) as postgres:
                accounts = Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))
                await accounts.lock(locked["user"]["id"], gate.clock.now())
            for key, dump in old.items():  # the data as they were before the endings
                await redis.call("RESTORE", key, 0, dump, "REPLACE")
            await redis.call("SAVE")
            await redis.close()
            assert await _status(gate, logged_out) == 200  # so the old data would have revived it
            valkey.kill()
            valkey.start()
            await _until_ready(gate)
            assert [await _status(gate, pair) for pair in (kept, logged_out, locked)] == [200, 401, 401]
