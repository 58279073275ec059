"""POST introspect (RFC 7662) and revoke (RFC 7009), over real API keys, tokens and stores."""

import json

import pytest
from factories import NOW
from gates import bearer, running_gate
from issuers import AUDIENCE, OtherIssuer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
INACTIVE = {"active": False}


@pytest.fixture(scope="module")
def other():
    return OtherIssuer()


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, other, upstream):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(other.jwks()))
    accept = {"issuer": other.name, "jwks": str(file), "audiences": [AUDIENCE], "claims": {"roles": "roles"}}
    settings = {
        "tokens": {"accept": [accept]},
        "upstreams": {"api": {"targets": [upstream.address]}},
        "api_keys": {"scopes": {"introspect": "authenticated", "revoke": "authenticated", "reports": "authenticated"}},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


async def key_of(gate, *scopes, email="service@example.com"):
    """The header of a service's key with these scopes."""
    tokens = await gate.newcomer(email)
    answer = await gate.post("api-keys", {"name": "service", "scopes": list(scopes)}, headers=bearer(tokens))
    assert answer.status == 201, await answer.text()
    return {"X-Api-Key": (await answer.json())["key"]}


async def ask(gate, call, key, token, **more):
    return await gate.call("POST", f"/_gate/auth/{call}", data={"token": token, **more}, headers=key)


async def worth(gate, key, token):
    answer = await ask(gate, "introspect", key, token)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store"), await answer.text()
    return await answer.json()


async def test_a_good_access_token_is_described_with_what_holds_now(gate):
    key, tokens = await key_of(gate, "introspect"), await gate.newcomer()
    user = tokens["user"]["id"]
    told = await worth(gate, key, tokens["access_token"])
    assert (told["active"], told["token_type"], told["sub"], told["username"]) == (
        True,
        "Bearer",
        user,
        "ada@example.com",
    )
    assert (told["iss"], told["aud"], told["sid"]) == (gate.url, "gate", tokens["session_id"])
    assert (told["exp"] - told["iat"], told["acr"], told["amr"], told["roles"]) == (900, "1fa", ["pwd"], [])
    by_bearer = {"Authorization": f"Bearer {key['X-Api-Key']}"}
    assert await worth(gate, by_bearer, tokens["access_token"]) == told


async def test_what_is_worth_nothing_is_only_inactive(gate, other):
    """RFC 7662 2.2: no word of why."""
    key, tokens = await key_of(gate, "introspect"), await gate.newcomer()
    stranger = OtherIssuer("https://evil.example")
    for token in (
        "rubbish",
        "a.b.c",
        stranger.token(),
        other.token(aud="x"),
        other.token(exp=int(NOW) - 1),
        key["X-Api-Key"],
    ):
        assert await worth(gate, key, token) == INACTIVE
    await gate.post("logout", {}, headers=bearer(tokens))
    assert await worth(gate, key, tokens["access_token"]) == INACTIVE
    assert await worth(gate, key, tokens["refresh_token"]) == INACTIVE
    gate.clock.advance(1000)
    late = await gate.login("ada@example.com")
    gate.clock.advance(901)
    assert await worth(gate, key, late["access_token"]) == INACTIVE


async def test_a_refresh_token_is_good_while_it_is_the_current_one(gate):
    key, tokens = await key_of(gate, "introspect"), await gate.newcomer()
    told = await worth(gate, key, tokens["refresh_token"])
    assert (told["active"], told["token_type"], told["sid"]) == (True, "refresh_token", tokens["session_id"])
    await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
    assert await worth(gate, key, tokens["refresh_token"]) == INACTIVE
    forged = tokens["refresh_token"][:-4] + "AAAA"
    assert await worth(gate, key, forged) == INACTIVE


async def test_another_issuer_s_token_is_described_and_revoked_by_its_issuer_and_jti(gate, other):
    key, token = await key_of(gate, "introspect", "revoke"), other.token(jti="one", roles=["staff"])
    told = await worth(gate, key, token)
    assert (told["active"], told["iss"], told["sub"], told["jti"]) == (True, other.name, "ada", "one")
    assert (told["aud"], told["roles"], "email" in told) == ([AUDIENCE], ["staff"], False)
    assert (await gate.call("GET", "/x", headers=bearer(token))).status == 200
    assert (await ask(gate, "revoke", key, token)).status == 200
    assert await worth(gate, key, token) == INACTIVE
    assert (await gate.call("GET", "/x", headers=bearer(token))).status == 401
    (row,) = await gate.rows("SELECT issuer, jti FROM foreign_revocations")
    assert row == {"issuer": other.name, "jti": "one"}


async def test_revoking_an_access_token_ends_it_alone_and_a_refresh_token_its_whole_session(gate):
    """RFC 7009 2.1; security 12"""
    key, tokens = await key_of(gate, "introspect", "revoke"), await gate.newcomer()
    assert (await ask(gate, "revoke", key, tokens["access_token"], token_type_hint="refresh_token")).status == 200
    assert (await gate.call("GET", "/x", headers=bearer(tokens))).status == 401
    fresh = await (await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
    assert (await gate.call("GET", "/x", headers=bearer(fresh))).status == 200
    answer = await ask(gate, "revoke", key, fresh["refresh_token"])
    assert (answer.status, await answer.text()) == (200, "")
    assert (await gate.call("GET", "/x", headers=bearer(fresh))).status == 401
    assert (await gate.post("refresh", {"refresh_token": fresh["refresh_token"]})).status == 401
    (row,) = await gate.rows(f"SELECT end_reason FROM sessions WHERE id = '{tokens['session_id']}'")
    assert row["end_reason"] == "revoked"
    rows = await gate.rows("SELECT action, subject FROM audit_log WHERE action LIKE '%.revoke' ORDER BY id")
    user = tokens["user"]["id"]
    assert [tuple(row.values()) for row in rows] == [("token.revoke", user), ("session.revoke", user)]


async def test_revoking_what_is_none_is_200_too(gate):
    """RFC 7009 2.2"""
    key = await key_of(gate, "revoke")
    for token in ("rubbish", "a.b.c", key["X-Api-Key"]):
        assert (await ask(gate, "revoke", key, token)).status == 200
    assert await gate.rows("SELECT action FROM audit_log WHERE action LIKE '%.revoke'") == []


@pytest.mark.parametrize("call", ["introspect", "revoke"])
async def test_only_keys_with_the_scope_may_ask(gate, call):
    tokens = await gate.newcomer()
    wrong = await key_of(gate, "reports", "revoke" if call == "introspect" else "introspect")
    for headers, status, reason in (
        ({}, 401, "credentials-missing"),
        ({"X-Api-Key": "gk_live_rubbish"}, 401, "token-invalid"),
        (bearer(tokens), 401, "token-invalid"),
        (wrong, 403, "rule-denied"),
    ):
        answer = await ask(gate, call, headers, tokens["access_token"])
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (status, reason)
        assert (await answer.json(content_type=None))["error"] == "invalid_client"
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert (await gate.call("GET", "/x", headers=bearer(tokens))).status == 200


async def test_the_body_is_a_form_with_one_token(gate):
    key = await key_of(gate, "introspect") | FORM
    for body, status in (
        (b"", 422),
        (b"token=", 422),
        (b"token=a&token=b", 422),
        (b"token_type_hint=x", 422),
        (b"token=" + b"x" * 8193, 422),
        (b"token", 400),
        (b"token=\xff", 400),
        (b"&".join([b"a=b"] * 30), 400),
        (b"x" * 70_000, 413),
    ):
        answer = await gate.call("POST", "/_gate/auth/introspect", data=body, headers=key)
        assert answer.status == status, body[:20]
    answer = await gate.post("introspect", {"token": "x"}, headers={"X-Api-Key": key["X-Api-Key"]})
    assert (answer.status, (await answer.json(content_type=None))["error"]) == (415, "invalid_request")


async def test_the_metadata_says_where(gate):
    """RFC 8414"""
    told = await (await gate.call("GET", "/.well-known/oauth-authorization-server")).json()
    for name in ("introspection_endpoint", "revocation_endpoint"):
        answer = await gate.call("POST", told[name].removeprefix(gate.url), data={"token": "x"})
        assert answer.status == 401
    document = await (await gate.call("GET", "/_gate/openapi.json")).json()
    body = document["paths"]["/_gate/auth/introspect"]["post"]["requestBody"]
    assert list(body["content"]) == ["application/x-www-form-urlencoded"]
