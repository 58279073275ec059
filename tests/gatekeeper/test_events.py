"""A whole gate tells programs what happens: webhook, file, stream."""

import json

import pytest
from gates import running_gate
from hook_receiver import hook_receiver

from gatekeeper.store.activity import RedisActivity
from gatekeeper.store.redis import Redis

SECRET = "a webhook secret that is long enough"


@pytest.fixture
async def receiver():
    async with hook_receiver() as one:
        yield one


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream, receiver):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
        "notify": {
            "webhooks": [{"url": receiver.url, "secret": SECRET, "events": ["login.*", "user.register"]}],
            "allow_private": ["127.0.0.0/8"],
            "lines": {"path": str(tmp_path / "events.jsonl"), "events": ["user.*"]},
        },
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


async def test_a_registration_and_logins_reach_whoever_asked_and_nobody_else(gate, receiver, redis_url, tmp_path):
    await gate.register("ada@example.com")
    await gate.login("ada@example.com")
    await gate.post("login", {"email": "ada@example.com", "password": "wrong"})
    told = {event["type"]: event for event in await receiver.events(SECRET, "login.failure", "login.success")}
    assert told["login.failure"]["data"]["reason"] == "invalid-credentials"
    (row,) = await gate.rows("SELECT id::text FROM login_logs WHERE result = 'failure'")
    assert told["login.failure"]["id"] == row["id"]
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    seen = [json.loads(one.event)["type"] for one in await RedisActivity(redis).recent(10)]
    await redis.close()
    assert seen == ["user.register", "login.success", "login.failure"]
    assert [json.loads(line)["type"] for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [
        "user.register"
    ]


async def test_codes_and_links_go_to_no_webhook_that_asked_for_all(postgres_dsn, redis_url, tmp_path, receiver):
    """Security 15: `*` is all events, not the mails that hold secrets."""
    settings = {
        "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
        "notify": {
            "webhooks": [{"url": receiver.url, "secret": SECRET, "events": ["*"]}],
            "allow_private": ["127.0.0.0/8"],
        },
        "otp": {"deliver": ["console"]},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        await gate.register("ada@example.com")
        await gate.post("password/forgot", {"email": "ada@example.com"})
        await gate.login("ada@example.com")
        told = await receiver.events(SECRET, "login.success")
        assert {event["type"] for event in told} <= {"user.register", "login.success"}
