"""P/verify as nginx sees it: 200, 401 or 403 and never another (contract: verify endpoints; security 5)."""

import pytest
from gates import bearer, running_gate

ASK = {"X-Original-URI": "/x", "X-Original-Method": "GET", "X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
async def trusting(postgres_dsn, redis_url, tmp_path):
    """A gate that believes proxies on loopback."""
    rules = [
        {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
        {"name": "read", "path": "/x/**", "methods": ["GET"], "allow": "authenticated"},
        {"name": "health", "path": "/health", "allow": "anyone"},
    ]
    settings = {"trusted_proxies": ["127.0.0.0/8"], "rules": rules}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


async def _newcomer(gate):
    return await gate.newcomer()


async def _verify(gate, *dicts, method="GET", drop=()):
    pairs = [(name, value) for fields in (ASK, *dicts) for name, value in fields.items() if name not in drop]
    headers = dict(pairs)
    return await gate.call(method, "/_gate/verify", headers=headers)


async def test_a_good_token_is_200_with_every_identity_header(trusting):
    tokens = await _newcomer(trusting)
    answer = await _verify(trusting, bearer(tokens))
    assert (answer.status, await answer.text()) == (200, "")
    assert answer.headers["X-Gate-User"] == "ada@example.com"
    assert answer.headers["X-Gate-Roles"] == ""
    assert answer.headers["X-Gate-Country"] == ""
    assert answer.headers["X-Gate-Assertion"].startswith("ey")


async def test_a_public_rule_says_empty_identity_headers(trusting):
    """security 3: nginx copies them, so they must be there to overwrite what a client sent"""
    answer = await _verify(trusting, {"X-Original-URI": "/health"})
    assert answer.status == 200
    names = ["Subject", "User", "Email-Verified", "Roles", "Session", "Amr", "Auth-Time", "Assertion"]
    assert [answer.headers[f"X-Gate-{name}"] for name in names] == [""] * 8


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_the_subrequest_s_own_method_does_not_matter(trusting, method):
    tokens = await _newcomer(trusting)
    assert (await _verify(trusting, bearer(tokens), method=method)).status == 200


async def test_without_credentials_it_is_401_with_the_way_to_the_login_page(trusting):
    answer = await _verify(trusting)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "credentials-missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Location"] == f"{trusting.url}/_gate/login?next=%2Fx"


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"X-Original-URI": "/admin/x"}, 403, "rule-denied"),
        ({"X-Original-URI": "/nothing"}, 403, "no-rule"),
        ({"X-Original-Method": "POST"}, 403, "no-rule"),
        ({"X-Original-Method": "get"}, 403, "bad-target"),
        ({"X-Original-Method": "TRACE"}, 403, "bad-target"),
        ({"X-Original-URI": "/x/../admin"}, 403, "bad-target"),
        ({"X-Original-URI": "/x/%2e%2e/admin"}, 403, "bad-target"),
        ({"X-Original-URI": "http://127.0.0.1/x"}, 403, "bad-target"),
        ({"X-Original-URI": ""}, 403, "bad-target"),
        ({"X-Original-URL": "http://127.0.0.1/x"}, 403, "bad-target"),
        ({"X-Forwarded-For": "rubbish"}, 403, "validation"),
        ({"X-Forwarded-Host": "localhost"}, 403, "bad-target"),
        ({"Authorization": "Bearer rubbish"}, 401, "token-invalid"),
    ],
)
async def test_everything_else_is_401_or_403_with_its_reason(trusting, fields, status, reason):
    tokens = await _newcomer(trusting)
    answer = await _verify(trusting, bearer(tokens), fields)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (status, reason)


@pytest.mark.parametrize("missing", ["X-Original-URI", "X-Original-Method", "X-Forwarded-For"])
async def test_a_missing_header_never_ends_in_2xx(trusting, missing):
    tokens = await _newcomer(trusting)
    answer = await _verify(trusting, bearer(tokens), drop=(missing,))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "bad-target")


@pytest.mark.parametrize("doubled", ["X-Original-URI", "X-Original-Method"])
async def test_a_doubled_header_never_ends_in_2xx(trusting, doubled):
    from multidict import CIMultiDict

    tokens = await _newcomer(trusting)
    headers = CIMultiDict(ASK | bearer(tokens))
    headers.add(doubled, ASK[doubled])
    answer = await trusting.call("GET", "/_gate/verify", headers=headers)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "bad-target")


async def test_the_original_url_decides_on_its_own_host_when_host_agrees(trusting):
    tokens = await _newcomer(trusting)
    url = {"X-Original-URL": f"{trusting.url}/x/y?z=1"}
    assert (await _verify(trusting, bearer(tokens), url, drop=("X-Original-URI",))).status == 200
    other = {"X-Original-URL": "http://evil.example/x"}
    answer = await _verify(trusting, bearer(tokens), other, drop=("X-Original-URI",))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "bad-target")


async def test_a_peer_that_is_not_trusted_is_refused_before_its_credentials_are_looked_at(gate):
    """security 5"""
    tokens = await gate.newcomer()
    answer = await _verify(gate, bearer(tokens))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "untrusted-proxy")


async def test_renewal_in_passing_sets_one_cookie_under_4_kib(trusting):
    await trusting.register("ada@example.com")
    body = {"email": "ada@example.com", "password": "correct horse battery 9", "cookies": True}
    login = await trusting.post("login", body, headers={"Sec-Fetch-Site": "same-origin"})
    refresh = login.headers.getall("Set-Cookie")[1].split(";")[0]
    answer = await _verify(trusting, {"Cookie": refresh})
    assert answer.status == 200
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert cookie.startswith("gate=ey")
    assert len(cookie) < 4096


async def test_logout_is_refused_on_the_next_question(trusting):
    """security 12"""
    tokens = await _newcomer(trusting)
    assert (await _verify(trusting, bearer(tokens))).status == 200
    await trusting.post("logout", {}, headers=bearer(tokens))
    answer = await _verify(trusting, bearer(tokens))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "session-ended")


async def test_a_lost_redis_is_403_and_never_500(postgres_dsn, tmp_path, short_tmp):
    """security 23"""
    import servers

    with servers.valkey_server(short_tmp) as valkey:
        settings = {"trusted_proxies": ["127.0.0.0/8"]}
        async with running_gate(postgres_dsn, valkey.url, tmp_path, **settings) as gate:
            tokens = await gate.newcomer()
            valkey.kill()
            answer = await _verify(gate, bearer(tokens))
            assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "store-unavailable")
