"""What else follows a reload: limits on attempts, bans, other origins."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest
from factories import PASSWORD
from gates import running_gate

from gatekeeper.app.reload_notes import reload_notes
from policies.bans import entries_of, parse_subject

ORIGIN = "https://app.example.org"
HERE = "198.51.100.7"


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    settings = {"trusted_proxies": ["127.0.0.0/8"], "limits": {"login_per_ip": "1000/minute"}, "bans": {"allow": []}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


def reloaded(gate, **keys):
    """Put other keys in force, as config.yaml has them."""
    given = gate.config.model_dump(by_alias=True, mode="json") | keys
    given["storage"] = gate.config.storage
    gate.config = type(gate.config).model_validate(given)
    gate.gatekeeper.reload(gate.config)


async def failed(gate, times, email="ada@example.com"):
    body = {"email": email, "password": "quite wrong indeed"}
    headers = {"X-Forwarded-For": HERE}
    return [(await gate.post("login", body, headers=headers)).status for _ in range(times)]


async def test_limits_on_attempts_are_those_of_the_new_file(gate):
    assert await failed(gate, 3) == [401, 401, 401]
    reloaded(gate, limits={"login_per_ip": "2/hour", "register_per_ip": "1/hour"})
    assert (await failed(gate, 4, "bob@example.com"))[-1] == 429
    statuses = []
    for name in ("a", "b", "c"):
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        statuses.append((await gate.post("register", body)).status)
    assert statuses[-1] == 429


async def test_what_bans_is_what_the_new_file_says_and_for_how_long(gate):
    await failed(gate, 2)
    assert await gate.rows("SELECT 1 FROM bans") == []
    reloaded(gate, bans={"after": 4, "for": "1h", "allow": [], "honeypots": ["/wp-login.php"]})
    assert await failed(gate, 3) == [401, 401, 403]
    rows = await gate.rows("SELECT subject, extract(epoch FROM until - since)::int AS seconds FROM bans")
    assert rows == [{"subject": HERE, "seconds": 3600}]
    answer = await gate.call("GET", "/wp-login.php", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.headers["X-Gate-Reason"] == "banned"


async def test_the_new_allow_list_wins_and_what_it_leaves_out_is_banned_again(gate):
    bans = gate.gatekeeper.reloader.running.bans.bans
    bans.apply(entries_of(parse_subject(HERE), 0))
    headers = {"X-Forwarded-For": HERE}
    assert (await gate.call("GET", "/_gate/login", headers=headers)).status == 403
    reloaded(gate, bans={"allow": ["198.51.100.0/24"]})
    assert (await gate.call("GET", "/_gate/login", headers=headers)).status == 200
    assert bans.blank().allows(ip_address(HERE))
    reloaded(gate, bans={"allow": []})
    assert (await gate.call("GET", "/_gate/login", headers=headers)).status == 403


async def test_other_origins_come_and_go(gate):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}

    async def preflight():
        return await gate.call("OPTIONS", "/_gate/auth/login", headers=asked)

    assert (await preflight()).status == 405
    reloaded(gate, cors={"origins": [ORIGIN]})
    answer = await preflight()
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
    session = await gate.call("GET", "/_gate/auth/session", headers={"Origin": ORIGIN})
    assert (session.status, session.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert (await gate.call("GET", "/_gate/auth/nothing", headers={"Origin": ORIGIN})).status == 404
    reloaded(gate, cors={"origins": []})
    assert (await preflight()).status == 405
    session = await gate.call("GET", "/_gate/auth/session", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in session.headers


async def noted(gate):
    await asyncio.gather(*gate.gatekeeper.reloader.notes._under_way)
    return await gate.rows(
        "SELECT actor, action, before, after FROM audit_log WHERE action = 'rules.reload' ORDER BY id"
    )


async def test_a_reload_is_in_the_audit_log_with_what_differs_and_no_secret(gate):
    reloaded(gate, limits={"default": "7/minute"})
    fields = {"set": {"X-Token": "sesame-open-up"}}
    reloaded(gate, rules=[{"name": "new", "path": "/**", "allow": "anyone", "request_headers": fields}])
    reloaded(gate, rules=[{"name": "new", "path": "/**", "allow": "anyone"}])
    limits, rules, again = await noted(gate)
    assert (limits["actor"], set(limits["after"])) == ("gate", {"limits"})
    assert (limits["before"]["limits"]["login_per_ip"], limits["after"]["limits"]["default"]) == (
        "1000/minute",
        "7/minute",
    )
    assert [rule["name"] for rule in rules["after"]["rules"]] == ["new"]
    assert rules["after"]["rules"] == again["before"]["rules"] != again["after"]["rules"]
    assert "sesame" not in str(rules)
    reloaded(gate)
    assert len(await noted(gate)) == 3


async def test_several_workers_note_a_reload_once(gate):
    running, old = gate.gatekeeper.reloader.running, gate.config
    workers = [reload_notes(old, running) for _ in range(4)]
    new = old.model_copy(update={"limits": old.limits.model_copy(update={"login_per_ip": old.limits.forgot_per_ip})})
    for worker in workers:
        worker.note(new)
    await asyncio.gather(*(task for worker in workers for task in worker._under_way))
    assert len(await noted(gate)) == 1
