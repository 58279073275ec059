"""API keys for the panel's calls: an admin's, each scope for its own, named in the audit log (issue 7.10)."""

import json
from dataclasses import replace

import pytest

BANS = "/_gate/admin/api/bans"


async def _key(gate, tokens, *scopes, **more):
    body = {"name": "automation", "scopes": list(scopes), **more}
    answer = await gate.post("api-keys", body, headers={"Authorization": f"Bearer {tokens['access_token']}"})
    return answer.status, json.loads(await answer.text())


@pytest.fixture
async def root(gate, admin):
    """The first admin's tokens."""
    return await gate.login("root@example.com")


async def _made(gate, tokens, *scopes, **more):
    status, made = await _key(gate, tokens, *scopes, **more)
    assert status == 201, made
    return made["id"], {"X-Api-Key": made["key"]}


async def test_each_scope_is_for_its_own_calls_and_the_audit_log_names_the_key(gate, root):
    _, reads = await _made(gate, root, "admin:read")
    number, acts = await _made(gate, root, "admin:act")
    gate.clock.advance(3600)  # no step-up is possible with a key
    assert (await gate.call("GET", BANS, headers=reads)).status == 200
    refused = await gate.call("GET", BANS, headers=acts)
    assert (refused.status, "admin:read" in await refused.text()) == (403, True)
    ban = {"subject": "192.0.2.1", "why": "scans"}
    assert (await gate.call("POST", BANS, json=ban, headers=reads)).status == 403
    assert (await gate.call("POST", BANS, json=ban, headers=acts)).status == 200
    listed = await gate.call("POST", f"{BANS}/import", json={"list": "192.0.2.2", "why": "x"}, headers=acts)
    assert listed.status == 200
    assert (await gate.call("POST", f"{BANS}/lift", json={"subject": "192.0.2.1"}, headers=acts)).status == 200
    changes = await gate.rows("SELECT action, actor, after FROM audit_log WHERE action LIKE 'ban.%' ORDER BY id")
    assert [(row["action"], row["after"]["api_key"]) for row in changes] == [
        ("ban.add", number),
        ("ban.import", number),
        ("ban.lift", number),
    ]
    assert {row["actor"] for row in changes} == {root["user"]["id"]}


async def test_a_key_opens_calls_and_no_page(gate, root):
    _, key = await _made(gate, root, "admin:read", "admin:act", "/**")
    for path in ("", "/", "/bans", "/api"):
        assert (await gate.call("GET", f"/_gate/admin{path}", headers=key)).status == 401, path
    assert (await gate.call("GET", "/_gate/admin/api/logins.csv", headers=key)).status == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (
        await gate.call("POST", "/_gate/admin/bans", data="subject=192.0.2.1&why=x", headers=key | form)
    ).status == 401
    _, paths = await _made(gate, root, "/_gate/admin/**")
    assert (await gate.call("GET", BANS, headers=paths)).status == 403


async def test_it_ends_with_its_owners_role_with_the_key_and_off_its_networks(gate, root):
    _, key = await _made(gate, root, "admin:read")
    _, elsewhere = await _made(gate, root, "admin:read", networks=["203.0.113.0/24"])
    number, revoked = await _made(gate, root, "admin:read")
    assert (await gate.call("GET", BANS, headers=elsewhere)).status == 401
    token = {"Authorization": f"Bearer {root['access_token']}"}
    assert (await gate.call("DELETE", f"/_gate/auth/api-keys/{number}", headers=token)).status == 204
    assert (await gate.call("GET", BANS, headers=revoked)).status == 401
    assert (await gate.call("GET", BANS, headers={"X-Api-Key": "gk_live_nonsense"})).status == 401
    other = (await gate.register("other@example.com"))["id"]
    await gate.give_roles(other, "admin")
    second = await gate.login("other@example.com")
    answer = await gate.call(
        "POST",
        f"/_gate/admin/api/users/{root['user']['id']}/roles",
        json={"roles": "staff", "why": "leaves"},
        headers={"Authorization": f"Bearer {second['access_token']}"},
    )
    assert answer.status == 200
    assert (await gate.call("GET", BANS, headers=key)).status == 404


async def test_nobody_but_an_admin_takes_such_a_scope_and_only_freshly(gate, root):
    tokens = await gate.newcomer()
    for scope in ("admin:read", "admin:act"):
        status, problem = await _key(gate, tokens, scope)
        assert (status, problem["errors"][0]["pointer"]) == (422, "/scopes/0")
    gate.clock.advance(301)
    assert (await _key(gate, root, "admin:act"))[0] == 401


async def test_where_admins_need_two_factors_so_do_their_keys_also_of_one_who_has_just_become_an_admin(strict_gate):
    tokens = await strict_gate.newcomer("late@example.com")
    live = strict_gate.gatekeeper.reloader.running.stores.live
    account = await live.find_user(tokens["user"]["id"])
    await live.put_user(replace(account, roles=("admin",), version=account.version + 1))
    for scope in ("admin:read", "admin:act"):
        status, problem = await _key(strict_gate, tokens, scope)
        assert (status, problem["type"]) == (401, "urn:gatekeeper:mfa-required")
    assert (await _key(strict_gate, tokens, "/reports/**"))[0] == 201
