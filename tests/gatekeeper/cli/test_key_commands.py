"""``gatekeeper api-key``, ``session`` and ``key`` beside a gate that runs."""

import asyncio
import json

import pytest
from factories import SECRET
from gates import bearer, running_gate

from gatekeeper.cli import main
from gatekeeper.clock import ManualClock, SystemClock


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    rules = [
        {"name": "deploy", "path": "/deploy", "allow": {"scopes": ["deploy"]}},
        {"name": "all", "path": "/**", "allow": "authenticated"},
    ]
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": rules}
    clock = ManualClock(SystemClock.now())  # commands go by the machine's
    async with running_gate(postgres_dsn, redis_url, tmp_path, clock=clock, **settings) as running:
        await running.register("ada@example.com")
        yield running


@pytest.fixture
def command(gate, redis_url, tmp_path, capsys):
    """Runs ``gatekeeper ...`` beside the gate; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    storage = {"postgres": gate.dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    config.write_text(json.dumps({"storage": storage}))

    async def run(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["--config", str(config), *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


async def _use(gate, key, path):
    return (await gate.call("GET", path, headers={"X-Api-Key": key})).status


async def test_an_operator_makes_lists_rotates_and_revokes_a_key(gate, command):
    wanted = ("--name", "ci", "--scope", "deploy", "--scope", "GET /x", "--network", "127.0.0.0/8", "--expires", "30d")
    status, out, err = await command("api-key", "add", "Ada@example.com", *wanted)
    key = out.strip()
    assert (status, key[:8], "not shown again" in err) == (0, "gk_live_", True)
    assert [await _use(gate, key, path) for path in ("/deploy", "/x", "/y")] == [200, 200, 403]
    _, out, _ = await command("api-key", "list", "--user", "ada@example.com", "--json")
    row = json.loads(out)
    assert (row["owner"], row["scopes"], row["state"]) == ("ada@example.com", ["deploy", "GET /x"], "good")
    assert key not in out
    status, out, _ = await command("api-key", "rotate", row["id"], "--overlap", "1h")
    other = out.strip()
    assert [await _use(gate, one, "/deploy") for one in (key, other)] == [200, 200]
    status, out, _ = await command("api-key", "revoke", row["id"])
    assert (status, out) == (0, f"revoked {row['id']} (ci)\n")
    assert [await _use(gate, one, "/deploy") for one in (key, other)] == [401, 200]
    _, out, _ = await command("api-key", "list")
    assert ("good" in out, "revoked" in out) == (True, True)
    rows = await gate.rows("SELECT action, actor LIKE 'cli:%' AS cli FROM audit_log WHERE action LIKE 'api-key.%'")
    assert sorted(row["action"] for row in rows) == ["api-key.add", "api-key.revoke", "api-key.rotate"]
    assert all(row["cli"] for row in rows)


async def test_what_cannot_be_done_is_said_in_one_line_and_changes_nothing(gate, command):
    ada = ("api-key", "add", "ada@example.com", "--name", "x")
    for arguments, says in [
        (("api-key", "add", "bob@example.com", "--name", "x", "--scope", "/x"), "there is no user bob@example.com"),
        (("api-key", "add", "bob", "--name", "x", "--scope", "/x"), "'bob' must contain exactly one @"),
        (ada, "--scope: name at least one"),
        ((*ada, "--scope", "get /x"), "--scope: 'get /x': 'get' is no method"),
        (("api-key", "add", "ada@example.com", "--name", " ", "--scope", "/x"), "--name: give it a visible name"),
        (("api-key", "revoke", "nope"), "there is no such API key"),
        (("api-key", "rotate", "nope"), "there is no API key nope that is good"),
        (("session", "revoke", "nope"), "there is no session nope that lives"),
        (("session", "list", "--user", "bob@example.com"), "there is no user bob@example.com"),
        (("key", "retire", "nope"), "there is no key nope that is in use"),
    ]:
        status, out, err = await command(*arguments)
        assert (status, out, err.count("\n"), says in err) == (1, "", 1, True), arguments
    assert await gate.rows("SELECT id FROM api_keys") == []


async def test_sessions_are_listed_and_one_is_ended_on_its_next_request(gate, command):
    first, second = await gate.login("ada@example.com"), await gate.login("ada@example.com")
    _, out, _ = await command("session", "list", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["sid"] for row in rows} == {first["session_id"], second["session_id"]}
    assert rows[0]["user"] == "ada@example.com"
    status, _, _ = await command("session", "revoke", "--", first["session_id"])
    answers = [await gate.call("GET", "/x", headers=bearer(tokens)) for tokens in (first, second)]
    assert (status, [answer.status for answer in answers]) == (0, [401, 200])
    _, out, _ = await command("session", "list", "--user", "ada@example.com", "--json")
    assert [json.loads(line)["sid"] for line in out.splitlines()] == [second["session_id"]]
    status, _, err = await command("session", "revoke", "--", first["session_id"])
    assert (status, "that lives" in err) == (1, True)
    (row,) = await gate.rows("SELECT subject FROM audit_log WHERE action = 'session.revoke'")
    assert row["subject"] == first["session_id"]


async def _keys(command):
    _, out, _ = await command("key", "list", "--json")
    return {row["kid"]: row for row in map(json.loads, out.splitlines())}


async def test_a_rotated_key_is_published_first_and_the_old_one_outlives_its_tokens(gate, command):
    """security 13"""
    (old,) = [kid for kid, row in (await _keys(command)).items() if row["purpose"] == "access"]
    status, out, _ = await command("key", "rotate")
    new, keys = out.strip(), await _keys(command)
    assert (status, keys[new]["state"], keys[old]["state"]) == (0, "published", "signs")
    assert keys[old]["retired"] > keys[new]["signs_from"]
    status, _, err = await command("key", "rotate")
    assert (status, f"{new} is published" in err) == (1, True)
    (row,) = await gate.rows(
        "SELECT extract(epoch FROM o.retired_at - n.not_before)::float AS verifies FROM signing_keys o, signing_keys n"
        f" WHERE o.kid = '{old}' AND n.kid = '{new}'"
    )
    assert row["verifies"] >= gate.config.tokens.access_ttl


async def test_a_retired_key_ends_at_once_and_never_leaves_the_gate_without_one(gate, command):
    """security 13"""
    before = {row["purpose"]: kid for kid, row in (await _keys(command)).items()}
    for purpose, kid in before.items():
        status, out, err = await command("key", "retire", "--", kid)
        assert (status, out.startswith(f"retired {kid}"), "signs in its place" in err) == (0, True, True)
        keys = await _keys(command)
        assert keys[kid]["state"] == "retired"
        assert [row["purpose"] for row in keys.values() if row["state"] == "signs"].count(purpose) == 1
    printed = json.dumps(await _keys(command))
    assert "sealed" not in printed
