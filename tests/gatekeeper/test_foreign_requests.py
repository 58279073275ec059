"""Other issuers' tokens on requests (tokens.accept): through the proxy and verify, limited, blacklisted, in tunnels."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from factories import NOW
from gates import bearer, running_gate
from issuers import AUDIENCE, OtherIssuer
from sockets import WebSockets
from upstreams import Upstream, plays, unused_port

from gatekeeper.bootstrap import postgres_at
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.foreign import PostgresForeignRevocations
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.records import PostgresSessionRecords
from gatekeeper.store.redis import Redis
from gatekeeper.store.replay import Replay
from gatekeeper.tokens.foreign import ForeignClaims, ForeignEndings, ForeignTokens, Issuer
from gatekeeper.tokens.issuer_keys import IssuerKeys

RULES = [
    {"name": "open", "path": "/open", "allow": "anyone"},
    {"name": "staff", "path": "/staff", "allow": {"roles": ["staff"]}},
    {"name": "fresh", "path": "/fresh", "allow": "authenticated", "step_up": "1m"},
    {"name": "strong", "path": "/strong", "allow": "authenticated", "mfa": True},
    {"name": "few", "path": "/few", "allow": "authenticated", "limit": {"rate": "2/hour", "by": "user"}},
    {"name": "all", "path": "/**", "allow": "authenticated"},
]


@pytest.fixture(scope="module")
def other():
    return OtherIssuer()


@asynccontextmanager
async def _gate(dsn, redis_url, tmp_path, other, app, **changes):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(other.jwks()))
    accept = {
        "issuer": other.name,
        "jwks": str(file),
        "audiences": [AUDIENCE],
        "claims": {"roles": "groups"},
        **changes.pop("accept", {}),
    }
    settings = {
        "tokens": {"accept": [accept]},
        "upstreams": {"api": {"targets": [app.address]}},
        "rules": RULES,
        "trusted_proxies": ["127.0.0.1"],
        **changes,
    }
    async with running_gate(dsn, redis_url, tmp_path, **settings) as gate:
        yield gate


@pytest.fixture
async def app():
    async with Upstream() as recording:
        yield recording


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, other, app):
    async with _gate(postgres_dsn, redis_url, tmp_path, other, app) as running:
        yield running


async def get(gate, path, token):
    answer = await gate.call("GET", path, headers=bearer(token))
    return answer.status, answer.headers.get("X-Gate-Reason")


async def revoke(gate, redis_url, other, token):
    """As POST revoke does, at another gate."""
    keys = IssuerKeys(other.name, other, ["EdDSA"])
    claims = await ForeignTokens([Issuer(other.name, frozenset({AUDIENCE}), keys)]).read(token, gate.clock.now())
    assert isinstance(claims, ForeignClaims)
    async with _stores(gate, redis_url) as (redis, rows):
        live = RedisSessions(redis, user_life=86400.0)
        await ForeignEndings(live, rows).end(claims, by="test", now=gate.clock.now())


@asynccontextmanager
async def _stores(gate, redis_url):
    redis = Redis(redis_url, timeout=30.0)
    await redis.open()
    async with postgres_at(gate.dsn) as postgres:
        yield redis, PostgresForeignRevocations(postgres)
    await redis.close()


async def test_another_issuer_s_token_is_somebody_here(gate, other, app):
    """Own and foreign callers side by side; roles are those of the claim that the configuration names."""
    token = other.token(groups=["staff"], email="evil@example.com", roles=["admin"])
    assert await get(gate, "/x", token) == (200, None)
    (request,) = app.requests
    assert request.values(b"X-Gate-Subject") == [b"ada"]
    assert request.values(b"X-Gate-Roles") == [b"staff"]
    assert request.values(b"X-Gate-User") == request.values(b"Authorization") == []
    assert (await get(gate, "/staff", token))[0] == 200
    assert await get(gate, "/staff", other.token(groups=["guest"])) == (403, "rule-denied")
    assert (await get(gate, "/x", (await gate.newcomer())["access_token"]))[0] == 200
    asked = {"X-Original-URI": "/x", "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
    answer = await gate.call("GET", "/_gate/verify", headers=asked | bearer(token))
    assert (answer.status, answer.headers["X-Gate-Subject"]) == (200, "ada")


async def test_what_is_not_good_is_401_and_nobody_on_public_rules(gate, other, app):
    stranger = OtherIssuer()
    for token in (stranger.token(), OtherIssuer("https://evil.example").token(), other.token(aud="x"), "a.b.c"):
        assert await get(gate, "/x", token) == (401, "token-invalid")
        assert (await get(gate, "/open", token))[0] == 200
    assert await get(gate, "/x", other.token(exp=int(NOW) - 1)) == (401, "token-expired")
    assert app.requests[-1].values(b"X-Gate-Subject") == []


async def test_it_is_nobody_at_the_gate_s_own_endpoints(gate, other):
    token = other.token(groups=["admin"])
    for path in ("/_gate/auth/session", "/_gate/auth/sessions", "/_gate/admin/", "/_gate/auth/factors"):
        assert (await gate.call("GET", path, headers=bearer(token))).status in {401, 404}, path


async def test_a_fresh_login_is_what_its_issuer_says_and_two_factors_are_only_the_gate_s_own(gate, other):
    """RFC 9470"""
    assert await get(gate, "/fresh", other.token(auth_time=int(NOW) - 10)) == (200, None)
    assert await get(gate, "/fresh", other.token(auth_time=int(NOW) - 100)) == (401, "step-up-required")
    assert await get(gate, "/fresh", other.token()) == (401, "step-up-required")
    assert await get(gate, "/fresh", other.token(auth_time=int(NOW) + 10_000)) == (200, None)  # no later than iat
    assert await get(gate, "/strong", other.token(amr=["mfa", "otp"], acr="2fa")) == (401, "mfa-required")


async def test_limits_by_user_count_its_subject_over_all_its_tokens(gate, other):
    assert [(await get(gate, "/few", other.token()))[0] for _ in range(4)] == [200, 200, 429, 429]
    assert (await get(gate, "/few", other.token(sub="grace")))[0] == 200


async def test_a_revoked_token_is_refused_on_the_next_request_and_after_redis_lost_everything(gate, other, redis_url):
    """security 12, 14: by issuer and jti, in PostgreSQL too."""
    token, second = other.token(jti="one"), other.token(jti="two")
    assert (await get(gate, "/x", token))[0] == 200
    await revoke(gate, redis_url, other, token)
    assert await get(gate, "/x", token) == (401, "session-ended")
    assert await get(gate, "/x", other.token(jti="one", sub="other")) == (401, "session-ended")
    assert (await get(gate, "/x", second))[0] == 200
    assert (await get(gate, "/open", token))[0] == 200
    (row,) = await gate.rows("SELECT issuer, jti, revoked_by FROM foreign_revocations")
    assert row == {"issuer": other.name, "jti": "one", "revoked_by": "test"}
    async with _stores(gate, redis_url) as (redis, rows):
        await redis.call("FLUSHALL")
        assert (await get(gate, "/x", token))[0] == 200  # what replay is there for
        records = PostgresSessionRecords(rows._postgres)
        await Replay(records, rows, PostgresApiKeys(rows._postgres), gate.clock, user_life=86400.0)(redis)
    assert await get(gate, "/x", token) == (401, "session-ended")
    assert (await get(gate, "/x", second))[0] == 200


async def test_a_tunnel_ends_with_its_token_and_with_its_revocation(postgres_dsn, redis_url, tmp_path, other):
    """security 7"""
    async with (
        WebSockets() as sockets,
        _gate(postgres_dsn, redis_url, tmp_path, other, sockets, **sockets.settings()) as gate,
    ):
        one, two = other.token(exp=int(NOW) + 60), other.token()
        first = await gate.client.ws_connect(f"{gate.url}/ws/echo", headers=bearer(one))
        second = await gate.client.ws_connect(f"{gate.url}/ws/echo", headers=bearer(two))
        for socket in (first, second):
            await socket.send_str("x")
            assert (await socket.receive(timeout=30)).data == "x"
        gate.clock.advance(61)
        message = await first.receive(timeout=30)
        assert (message.data, message.extra) == (4401, "session-ended")
        assert not second.closed
        await revoke(gate, redis_url, other, two)
        message = await second.receive(timeout=30)
        assert (message.data, message.extra) == (4401, "session-ended")


async def test_keys_come_from_an_address_of_the_configuration_and_a_new_one_is_taken_at_once(
    postgres_dsn, redis_url, tmp_path, app
):
    """security 30: over HTTP only to networks that are listed; redirects are not followed."""
    issuer = OtherIssuer()

    async def serve(wire):
        while (request := await wire.request()) is not None:
            body = json.dumps(issuer.jwks()).encode()
            assert request.target == b"/keys"
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with Upstream(serve) as server:
        settings = {"accept": {"jwks": f"{server.address}/keys"}, "notify": {"allow_private": ["127.0.0.0/8"]}}
        async with _gate(postgres_dsn, redis_url, tmp_path, issuer, app, **settings) as gate:
            assert (await get(gate, "/x", issuer.token()))[0] == 200
            issuer.make_key()
            assert await get(gate, "/x", issuer.token()) == (401, "token-invalid")
            gate.clock.advance(61)
            found = await asyncio.gather(*(get(gate, "/x", issuer.token()) for _ in range(20)))
            assert {status for status, _ in found} == {200}
            assert len(server.requests) == 2


@pytest.mark.parametrize("answer", ["nobody", "redirect", "rubbish", "huge", "private"])
async def test_while_its_keys_cannot_be_had_a_token_is_503_and_the_gate_s_own_go_on(
    postgres_dsn, redis_url, tmp_path, other, app, answer
):
    """security 23, 30"""
    body = json.dumps(other.jwks()).encode()
    answers = {
        "redirect": b"HTTP/1.1 302 Found\r\nLocation: /keys\r\nContent-Length: 0\r\n\r\n",
        "rubbish": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b" " * 300_000,
        "private": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    }
    allowed = ["192.0.2.0/24"] if answer == "private" else ["127.0.0.0/8"]
    async with Upstream(plays(answers.get(answer, b""))) as server:
        place = f"http://127.0.0.1:{unused_port()}" if answer == "nobody" else server.address
        settings = {"accept": {"jwks": f"{place}/keys"}, "notify": {"allow_private": allowed}}
        async with _gate(postgres_dsn, redis_url, tmp_path, other, app, **settings) as gate:
            assert await get(gate, "/x", other.token()) == (503, "store-unavailable")
            assert (await get(gate, "/open", other.token()))[0] == 200
            assert (await get(gate, "/x", (await gate.newcomer())["access_token"]))[0] == 200
            assert len(server.requests) == (0 if answer in {"nobody", "private"} else 1)
