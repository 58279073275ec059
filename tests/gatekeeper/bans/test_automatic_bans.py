"""Whoever misbehaves often enough is banned by the gate itself, on every node, and others are not."""

import asyncio

import pytest
from factories import PASSWORD
from gates import running_gate

ATTACKER, OWNER = "198.51.100.7", "203.0.113.9"
LOGIN = {"email": "ada@example.com", "password": "quite wrong indeed"}
SETTINGS = {
    "trusted_proxies": ["127.0.0.0/8"],
    "limits": {"login_per_ip": "1000/minute", "login_per_account": "1000/minute", "default": "30/minute"},
    "bans": {
        "allow": [],
        "after": 4,
        "spray": {"accounts": 3, "within": "1h"},
        "limited": 3,
        "honeypots": ["/wp-login.php"],
    },
    "upstreams": {"api": {"targets": ["http://127.0.0.1:1"]}},
    "rules": [{"name": "public", "path": "/**", "allow": "anyone"}],
}


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, **SETTINGS) as running:
        yield running


def coming_from(address):
    return {"X-Forwarded-For": address}


async def reason(gate, address, path="/x"):
    return (await gate.call("GET", path, headers=coming_from(address))).headers.get("X-Gate-Reason")


async def bans(gate):
    return await gate.rows(
        "SELECT subject, source, actor, extract(epoch FROM until - since)::int AS s FROM bans ORDER BY id"
    )


async def until_written(gate, count):
    async with asyncio.timeout(60):
        while len(found := await bans(gate)) < count:  # noqa: ASYNC110 - by database
            await asyncio.sleep(0.01)
    return found


async def test_failed_logins_ban_their_address_and_leave_the_owner_alone(gate):
    await gate.register("ada@example.com")
    statuses = [(await gate.post("login", LOGIN, headers=coming_from(ATTACKER))).status for _ in range(5)]
    assert statuses == [401, 401, 401, 401, 403]
    assert await reason(gate, ATTACKER) == "banned"
    assert await bans(gate) == [{"subject": ATTACKER, "source": "failures", "actor": "gate", "s": 900}]
    right = await gate.post("login", {**LOGIN, "password": PASSWORD}, headers=coming_from(OWNER))
    assert right.status == 200
    audit = await gate.rows("SELECT actor, subject FROM audit_log WHERE action = 'ban.add'")
    assert audit == [{"actor": "gate", "subject": ATTACKER}]


async def test_a_ban_ends_by_itself_and_the_next_is_longer(gate):
    for _ in range(4):
        await gate.post("login", LOGIN, headers=coming_from(ATTACKER))
    gate.clock.advance(901)
    assert await reason(gate, ATTACKER) != "banned"
    for _ in range(4):
        await gate.post("login", LOGIN, headers=coming_from(ATTACKER))
    assert [ban["s"] for ban in await bans(gate)] == [900, 1800]


async def test_a_few_passwords_on_many_accounts_are_a_spray_also_where_no_account_is(gate):
    for name in ("a", "b", "c"):
        await gate.post("login", {**LOGIN, "email": f"{name}@example.com"}, headers=coming_from(ATTACKER))
    assert [ban["source"] for ban in await bans(gate)] == ["spray"]
    assert await reason(gate, ATTACKER) == "banned"


async def test_a_honeypot_bans_at_the_first_request(gate):
    assert await reason(gate, ATTACKER, "/wp-login.php") == "banned"
    (ban,) = await until_written(gate, 1)
    assert (ban["subject"], ban["source"]) == (ATTACKER, "honeypot")
    assert await reason(gate, ATTACKER) == "banned"
    assert await reason(gate, OWNER) != "banned"


async def test_whoever_keeps_on_sending_over_a_limit_is_banned(gate):
    reasons = [await reason(gate, ATTACKER) for _ in range(33)]
    assert (reasons[29], reasons[30:]) == ("upstream-unavailable", ["rate-limited"] * 3)
    (ban,) = await until_written(gate, 1)
    assert (ban["subject"], ban["source"]) == (ATTACKER, "limits")
    assert await reason(gate, ATTACKER) == "banned"
