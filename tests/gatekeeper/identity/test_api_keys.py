"""API keys over a whole gate: made, shown once, used, rotated, revoked; and what the records say."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from factories import NOW
from gates import bearer, running_gate

from gatekeeper.clock import as_datetime
from gatekeeper.identity.accounts import Accounts
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.api_key_records import api_key_key
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.foreign import PostgresForeignRevocations
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresSessionRecords
from gatekeeper.store.redis import Redis
from gatekeeper.store.replay import Replay
from gatekeeper.tokens.api_keys import digest_of

KEYS = "/_gate/auth/api-keys"
RULES = [
    {"name": "open", "path": "/open", "allow": "anyone"},
    {"name": "metrics", "path": "/metrics", "allow": {"scopes": ["metrics"]}},
    {"name": "ops", "path": "/ops", "allow": {"scopes": ["deploy"]}},
    {"name": "api", "path": "/**", "allow": "authenticated"},
]


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": RULES,
        "mfa": {"require_for_roles": []},
        "api_keys": {"scopes": {"metrics": "authenticated", "deploy": ["ops"]}, "per_user": 4},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


@asynccontextmanager
async def _stores(gate, redis_url):
    redis, postgres = Redis(redis_url, timeout=5.0), Postgres(gate.dsn, size=1, timeout=30.0)
    await redis.open()
    try:
        yield redis, postgres
    finally:
        await redis.close()
        await postgres.close()


async def _made(gate, tokens, *scopes, status=201, **body):
    wanted = {"name": "nightly", "scopes": list(scopes), **body}
    answer = await gate.post("api-keys", wanted, headers=bearer(tokens))
    assert answer.status == status, await answer.text()
    return await answer.json()


async def _use(gate, key, path="/x", **headers):
    answer = await gate.call("GET", path, headers={"X-Api-Key": key, **headers})
    return answer.status, answer.headers.get("X-Gate-Reason")


async def _revoke(gate, tokens, key):
    answer = await gate.call("DELETE", f"{KEYS}/{key}", headers=bearer(tokens))
    return answer.status


async def test_a_key_is_shown_once_used_and_revoked(gate, upstream):
    tokens = await gate.newcomer()
    made = await _made(gate, tokens, "GET /reports/**", "metrics")
    key = made["key"]
    assert made["start"] == key[:12]
    listed = await (await gate.call("GET", KEYS, headers=bearer(tokens))).json()
    assert listed["api_keys"] == [{name: value for name, value in made.items() if name != "key"}]
    assert await _use(gate, key, "/reports/1") == (200, None)
    assert upstream.requests[-1].values(b"X-Api-Key") == []
    assert upstream.requests[-1].values(b"X-Gate-Session") == [f"key:{made['id']}".encode()]
    answer = await gate.call("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
    assert answer.status == 200
    assert (await _use(gate, key, "/other")) == (403, "rule-denied")
    assert await _revoke(gate, tokens, made["id"]) == 204
    assert await _use(gate, key, "/reports/1") == (401, "token-invalid")
    assert (await (await gate.call("GET", KEYS, headers=bearer(tokens))).json()) == {"api_keys": []}
    rows = await gate.rows("SELECT digest, start, revoked_at IS NOT NULL AS revoked FROM api_keys")
    assert [row["revoked"] for row in rows] == [True]
    assert key not in str(rows)


async def test_what_happens_to_keys_is_in_the_audit_log_and_told_to_the_owner(gate):
    tokens = await gate.newcomer()
    made = await _made(gate, tokens, "/**")
    rotated = await gate.call("POST", f"{KEYS}/{made['id']}/rotate", headers=bearer(tokens))
    assert rotated.status == 201
    await _revoke(gate, tokens, made["id"])
    told = [line for line in gate.console.lines if "api-key" in line]
    assert told == ["Notice for ada@example.com: api-key-added"] * 2
    rows = await gate.rows(
        "SELECT action, subject, actor, after FROM audit_log WHERE action LIKE 'api-key.%' ORDER BY id"
    )
    assert [row["action"] for row in rows] == ["api-key.add", "api-key.rotate", "api-key.revoke"]
    assert {row["actor"] for row in rows} == {tokens["user"]["id"]}
    assert {row["subject"] for row in rows} == {made["id"]}
    assert made["key"] not in str(rows)


async def test_a_rotated_key_goes_on_for_the_overlap_and_its_successor_is_like_it(gate):
    tokens = await gate.newcomer()
    end = as_datetime(NOW + 86_400 * 30).isoformat()
    old = await _made(gate, tokens, "/x/**", networks=["127.0.0.0/8"], expires_at=end)
    gate.clock.advance(100)
    answer = await gate.call("POST", f"{KEYS}/{old['id']}/rotate", json={"overlap": 60}, headers=bearer(tokens))
    new = await answer.json()
    same = ("name", "scopes", "networks")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert new["expires_at"] == as_datetime(NOW + 100 + 86_400 * 30).isoformat().replace("+00:00", "Z")
    assert [await _use(gate, key, "/x/1") for key in (old["key"], new["key"])] == [(200, None)] * 2
    again = await gate.call("POST", f"{KEYS}/{old['id']}/rotate", headers=bearer(tokens))
    assert again.status == 404
    gate.clock.advance(60)
    assert await _use(gate, old["key"], "/x/1") == (401, "token-expired")
    assert await _use(gate, new["key"], "/x/1") == (200, None)


async def test_making_and_rotating_want_a_fresh_login_and_revoking_does_not(gate):
    tokens = await gate.newcomer()
    made = await _made(gate, tokens, "/**")
    gate.clock.advance(301)
    late = await _made(gate, tokens, "/**", status=401)
    assert late["type"] == "urn:gatekeeper:step-up-required"
    rotated = await gate.call("POST", f"{KEYS}/{made['id']}/rotate", headers=bearer(tokens))
    assert (rotated.status, rotated.headers["X-Gate-Reason"]) == (401, "step-up-required")
    assert await _revoke(gate, tokens, made["id"]) == 204


BAD = [
    ({"scopes": []}, "/scopes"),
    ({"scopes": ["/x", "/x"]}, "/scopes/1"),
    ({"scopes": ["/x", "GET"]}, "/scopes/1"),
    ({"scopes": ["introspect"]}, "/scopes/0"),
    ({"scopes": ["admin:act"]}, "/scopes/0"),
    ({"scopes": ["deploy"]}, "/scopes/0"),
    ({"scopes": ["unheard-of"]}, "/scopes/0"),
    ({"scopes": ["/a b"]}, "/scopes/0"),
    ({"scopes": ["/x"] * 33}, "/scopes"),
    ({"scopes": "/x"}, "/scopes"),
    ({"name": " "}, "/name"),
    ({"name": "x" * 61}, "/name"),
    ({"name": "a\u202eb"}, "/name"),
    ({"networks": ["192.0.2.1/24"]}, "/networks/0"),
    ({"networks": ["::ffff:192.0.2.1"]}, "/networks/0"),
    ({"networks": ["x"]}, "/networks/0"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ({"expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
    ({"expires_at": "tomorrow"}, "/expires_at"),
    ({"expires_at": 5}, "/expires_at"),
    ({"owner": "somebody"}, "/owner"),
]


async def test_a_key_that_cannot_be_had_names_its_field(gate):
    tokens = await gate.newcomer()
    for body, pointer in BAD:
        answer = await gate.post("api-keys", {"name": "nightly", "scopes": ["/x"], **body}, headers=bearer(tokens))
        problem = await answer.json()
        assert (answer.status, problem["errors"][0]["pointer"]) == (422, pointer), body
    assert await gate.rows("SELECT id FROM api_keys") == []


async def test_who_may_take_a_named_scope_is_in_the_configuration_and_admins_may_give_any(gate):
    user = await gate.newcomer()
    await _made(gate, user, "deploy", status=422)
    await gate.give_roles(user["user"]["id"], "ops")
    key = (await _made(gate, await gate.login("ada@example.com"), "deploy"))["key"]
    assert await _use(gate, key, "/ops") == (200, None)
    await gate.give_roles(user["user"]["id"], "admin")
    await _made(gate, await gate.login("ada@example.com"), "introspect", "unheard-of")


async def test_a_user_has_a_bounded_number_of_keys_also_when_asked_for_at_once(gate):
    tokens = await gate.newcomer()
    body = {"name": "x", "scopes": ["/x"]}
    answers = await asyncio.gather(*(gate.post("api-keys", body, headers=bearer(tokens)) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 4 + [409] * 4


async def test_keys_of_others_are_not_there(gate):
    tokens, other = await gate.newcomer(), await gate.newcomer("bob@example.com")
    made = await _made(gate, tokens, "/**")
    assert await _revoke(gate, other, made["id"]) == 404
    rotated = await gate.call("POST", f"{KEYS}/{made['id']}/rotate", headers=bearer(other))
    assert rotated.status == 404
    assert await _use(gate, made["key"]) == (200, None)


async def test_a_key_manages_neither_keys_nor_sessions_nor_the_panel(gate):
    tokens = await gate.newcomer()
    await gate.give_roles(tokens["user"]["id"], "admin")
    made = await _made(gate, await gate.login("ada@example.com"), "/**", "admin:act")
    for method, path in [
        ("GET", KEYS),
        ("POST", KEYS),
        ("DELETE", f"{KEYS}/{made['id']}"),
        ("GET", "/_gate/auth/sessions"),
        ("POST", "/_gate/auth/logout"),
    ]:
        body = {"name": "x", "scopes": ["/x"]} if (method, path) == ("POST", KEYS) else None
        answer = await gate.call(method, path, json=body, headers={"X-Api-Key": made["key"]})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "rule-denied"), path
    assert (await gate.call("GET", "/_gate/admin/", headers={"X-Api-Key": made["key"]})).status == 401
    assert (await gate.call("GET", "/_gate/account", headers={"X-Api-Key": made["key"]})).status == 303


async def test_two_credentials_at_once_are_no_request(gate):
    tokens = await gate.newcomer()
    key = (await _made(gate, tokens, "/**"))["key"]
    assert (await gate.call("GET", "/x", headers={"X-Api-Key": key, **bearer(tokens)})).status == 400
    assert (await gate.call("GET", "/x", headers=[("X-Api-Key", key), ("X-Api-Key", key)])).status == 400
    assert (await gate.call("GET", "/x", headers={"X-Api-Key": key, "Authorization": "Basic eDp5"})).status == 200


async def test_a_bad_key_never_falls_back_to_a_good_cookie(gate):
    tokens = await gate.newcomer()
    cookie = {"Cookie": f"gate={tokens['access_token']}"}
    assert await _use(gate, "gk_live_x", **cookie) == (401, "token-invalid")
    assert await _use(gate, "gk_live_x", "/open", **cookie) == (200, None)


async def test_a_key_works_on_after_logout_and_a_new_password_but_not_for_a_locked_owner(gate, redis_url):
    tokens = await gate.newcomer()
    key = (await _made(gate, tokens, "/**"))["key"]
    assert await _use(gate, key) == (200, None)
    assert (await gate.post("logout", {"scope": "all"}, headers=bearer(tokens))).status == 204
    assert await _use(gate, key) == (200, None)
    async with _stores(gate, redis_url) as (redis, postgres):
        accounts = Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))
        await accounts.lock(tokens["user"]["id"], gate.clock.now())
    assert await _use(gate, key) == (401, "token-invalid")


async def test_last_uses_are_not_written_by_requests_but_later_and_at_the_end_of_a_worker(
    postgres_dsn, redis_url, tmp_path, upstream
):
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        tokens = await gate.newcomer()
        made = await _made(gate, tokens, "/**")
        gate.clock.advance(60)
        await _use(gate, made["key"])
        assert await gate.rows("SELECT last_used_at FROM api_keys") == [{"last_used_at": None}]
    async with running_gate(postgres_dsn, redis_url, tmp_path, clock=gate.clock, **settings) as gate:
        tokens = await gate.login("ada@example.com")
        (listed,) = (await (await gate.call("GET", KEYS, headers=bearer(tokens))).json())["api_keys"]
    assert (listed["last_used_at"], listed["last_used_from"]) == ("2027-01-15T08:01:00Z", "127.0.0.1")


async def test_a_flushed_redis_neither_loses_nor_revives_keys(gate, redis_url):
    """security 14"""
    tokens = await gate.newcomer()
    good, gone = await _made(gate, tokens, "/**"), await _made(gate, tokens, "/**")
    await _revoke(gate, tokens, gone["id"])
    async with _stores(gate, redis_url) as (redis, _):
        await redis.call("FLUSHALL")
    assert await _use(gate, good["key"]) == (200, None)
    assert await _use(gate, gone["key"]) == (401, "token-invalid")


async def test_an_old_copy_in_redis_is_replaced_before_a_new_server_is_used(gate, redis_url):
    """security 14: a failover may bring back the record of before the revocation."""
    tokens = await gate.newcomer()
    made = await _made(gate, tokens, "/**")
    await _use(gate, made["key"])
    name = api_key_key(digest_of(made["key"]))
    async with _stores(gate, redis_url) as (redis, postgres):
        before = await redis.call("HGETALL", name)
        await _revoke(gate, tokens, made["id"])
        await redis.call("DEL", name, "gate:replayed")
        await redis.call("HSET", name, *before)
        assert await _use(gate, made["key"]) == (200, None)  # what replay is there for
        records, foreign = PostgresSessionRecords(postgres), PostgresForeignRevocations(postgres)
        await Replay(records, foreign, PostgresApiKeys(postgres), gate.clock, user_life=86400.0)(redis)
    assert await _use(gate, made["key"]) == (401, "token-invalid")
