"""P/verify/forward and P/verify/envoy as Traefik, Caddy, HAProxy and Envoy see them (contract: verify endpoints).

One gate for the module; each test asks about what it needs.
"""

import json
from contextlib import asynccontextmanager

import pytest
from factories import PASSWORD
from gates import bearer, running_gate
from multidict import CIMultiDict

NAVIGATES = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
FRONT = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example"}  # what brings people to the gate's own calls
RULES = [
    {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
    {"name": "fresh", "path": "/fresh", "allow": "authenticated", "step_up": "1m"},
    {"name": "slow", "path": "/slow", "allow": "anyone", "limit": {"rate": "1/hour", "by": "address"}},
    {"name": "open", "path": "/open", "allow": "anyone"},
    {"name": "basic", "path": "/basic", "allow": "anyone", "pass_authorization": True},
    {"name": "shared", "path": "/shared", "allow": "authenticated", "cors": {"origins": ["https://page.example"]}},
    {"name": "all", "path": "/x/**", "allow": "authenticated"},
]


@asynccontextmanager
async def _gate(postgres_dsn, redis_url, tmp_path, **changes):
    settings = {
        "public_url": "https://app.example",
        "registration": {"mode": "open"},
        "hosts": ["other.example"],
        "trusted_proxies": ["127.0.0.0/8"],
        "rules": RULES,
        **changes,
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        gate.url = gate.listening
        yield gate


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    async with _gate(postgres_dsn, redis_url, tmp_path) as running:
        yield running


def asked(uri="/x", method="GET", **changes):
    """The fields of a question, in Traefik's spelling."""
    fields = {
        "X-Forwarded-Method": method,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "app.example",
        "X-Forwarded-Uri": uri,
        "X-Forwarded-For": "203.0.113.7",
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in fields.items() if value is not None}


async def forward(gate, *dicts, **question):
    headers = CIMultiDict(asked(**question))
    for fields in dicts:
        headers.update(fields)
    return await gate.call("GET", "/_gate/verify/forward", headers=headers)


async def envoy(gate, path, *dicts, method="GET", host="app.example"):
    headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    for fields in dicts:
        headers |= fields
    headers = {name: value for name, value in headers.items() if value is not None}
    return await gate.call(method, f"/_gate/verify/envoy{path}", headers=headers)


def told(answer):
    return answer.status, answer.headers.get("X-Gate-Reason")


async def newcomer(gate):
    """Tokens of a new account, made as through the front proxy."""
    body = {"email": "ada@example.com", "password": PASSWORD}
    await gate.post("register", body, headers=FRONT)
    return await (await gate.post("login", body, headers=FRONT)).json()


async def test_both_let_through_whom_the_gate_lets_through_and_say_who_it_is(gate):
    """security 3, 12: every identity field is there, so that what a client sent is put over."""
    tokens = await newcomer(gate)
    forged = {"X-Gate-Roles": "admin", "X-Gate-User": "evil"}
    for answer in (
        await forward(gate, bearer(tokens), forged),
        await envoy(gate, "/x?y=%2F", bearer(tokens), forged),
        await forward(gate, bearer(tokens), uri="/x/y?z=1", method="POST"),
        await envoy(gate, "/x/y", bearer(tokens), method="POST"),
    ):
        assert (answer.status, await answer.text()) == (200, "")
        assert (answer.headers["X-Gate-User"], answer.headers["X-Gate-Roles"]) == ("ada@example.com", "")
        assert answer.headers["X-Gate-Assertion"].startswith("ey")
    nobody = await forward(gate, forged, uri="/open")
    names = ["Subject", "User", "Email-Verified", "Roles", "Session", "Amr", "Auth-Time", "Assertion"]
    assert (nobody.status, [nobody.headers[f"X-Gate-{name}"] for name in names]) == (200, [""] * 8)
    assert (await gate.post("logout", {}, headers=bearer(tokens) | FRONT)).status == 204
    assert told(await forward(gate, bearer(tokens))) == (401, "session-ended")
    assert told(await envoy(gate, "/x", bearer(tokens))) == (401, "session-ended")


async def test_a_program_is_told_401_in_json_and_a_browser_is_led_to_the_login_page(gate):
    for answer in (await forward(gate), await envoy(gate, "/x")):
        assert told(answer) == (401, "credentials-missing")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.content_type == "application/problem+json"
        assert json.loads(await answer.text())["status"] == 401
        assert "Location" not in answer.headers
    login = "https://app.example/_gate/login?next="
    for answer, status, location in (
        (await forward(gate, NAVIGATES, uri="/x?a=1&b=2"), 302, f"{login}%2Fx%3Fa%3D1%26b%3D2"),
        (await envoy(gate, "/x?a=1", NAVIGATES), 302, f"{login}%2Fx%3Fa%3D1"),
        (await forward(gate, NAVIGATES, method="POST"), 303, f"{login}%2F"),
        (await envoy(gate, "/x", NAVIGATES, method="POST"), 303, f"{login}%2F"),
        (
            await forward(gate, NAVIGATES, X_Forwarded_Host="other.example"),
            302,
            "https://other.example/_gate/login?next=%2Fx",
        ),
    ):
        assert (answer.status, answer.headers["Location"]) == (status, location)


async def test_refusals_have_the_status_of_the_gate_s_own_proxy(gate):
    tokens = await newcomer(gate)
    who = bearer(tokens)
    assert told(await forward(gate, who, uri="/admin/x")) == (403, "rule-denied")
    assert told(await forward(gate, who, uri="/nothing")) == (403, "no-rule")
    assert told(await forward(gate, who, X_Forwarded_Host="evil.example")) == (421, "unknown-host")
    assert told(await envoy(gate, "/x", who, host="evil.example")) == (421, "unknown-host")
    assert (await forward(gate, uri="/slow")).status == 200
    for limited in (await forward(gate, uri="/slow"), await envoy(gate, "/slow")):
        assert told(limited) == (429, "rate-limited")
        assert int(limited.headers["Retry-After"]) > 0
        assert limited.headers["RateLimit-Policy"] == '"slow";q=1;w=3600'
    page = await forward(gate, who, NAVIGATES, uri="/admin/x")
    assert (page.status, page.content_type) == (403, "text/html")


async def test_step_up_is_a_challenge_for_programs_and_a_page_for_browsers(gate):
    """RFC 9470"""
    tokens = await newcomer(gate)
    gate.clock.advance(120)
    answer = await forward(gate, bearer(tokens), uri="/fresh")
    assert told(answer) == (401, "step-up-required")
    assert "insufficient_user_authentication" in answer.headers["WWW-Authenticate"]
    answer = await envoy(gate, "/fresh", bearer(tokens), NAVIGATES)
    assert (answer.status, answer.headers["Location"]) == (302, "https://app.example/_gate/step-up?next=%2Ffresh")


async def test_a_page_of_another_origin_may_read_a_refusal_where_the_rule_says_so(gate):
    answer = await forward(gate, {"Origin": "https://page.example"}, uri="/shared")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "https://page.example")


FIELDS = ("X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-For")
MALFORMED = {
    "X-Forwarded-Method": ("TRACE", "get", "GET, GET", "", "CONNECT"),
    "X-Forwarded-Proto": ("gopher", "https, http", "", "https:"),
    "X-Forwarded-Host": ("a b", "", "app.example, evil.example", "app.example.", "user@app.example", "app.example:"),
    "X-Forwarded-Uri": (
        "", "x", "*", "https://app.example/x", "//app.example/x", "/x/../admin", "/x/%2e%2e/admin", "/x/./y", "/x//y",
        "/x%2fy", "/x%5cy", "/x;y", "/x%zz", "/x#y", "/x%00", "/x?\u00e9", "/x y",
    ),
    "X-Forwarded-For": ("rubbish", "203.0.113.7, ", "", "unknown"),
}  # fmt: skip


async def test_what_is_missing_malformed_or_doubled_is_400_with_the_best_of_tokens(gate):
    """security 1, 5"""
    who = bearer(await newcomer(gate))
    assert (await forward(gate, who)).status == 200
    for name in FIELDS:
        missing = await forward(gate, who, **{name: None})
        assert told(missing) == (400, "bad-target"), name
        doubled = CIMultiDict(asked() | who)
        doubled.add(name, asked()[name])
        answer = await gate.call("GET", "/_gate/verify/forward", headers=doubled)
        assert answer.status == 400, name
        for value in MALFORMED[name]:
            answer = await forward(gate, who, **{name: value})
            assert answer.status == 400, (name, value)
            assert answer.headers["X-Gate-Reason"] in {"bad-target", "validation"}


async def test_envoy_s_question_is_refused_where_its_path_scheme_or_client_cannot_be_read(gate):
    """security 1, 5"""
    who = bearer(await newcomer(gate))
    assert (await envoy(gate, "/x", who)).status == 200
    for path in (
        "",
        "/x/../admin/y",
        "/x/%2e%2e/admin",
        "/x//y",
        "//x",
        "/x%2fy",
        "/x;y",
        "/x%zz",
        "/%2e%2e/health/live",
    ):
        assert (await envoy(gate, path, who)).status in {400, 404}, path
    for fields in ({"X-Forwarded-Proto": None}, {"X-Forwarded-For": None}):
        assert told(await envoy(gate, "/x", who, fields)) == (400, "bad-target")
    for fields in ({"X-Forwarded-Proto": "gopher"}, {"X-Forwarded-For": "rubbish"}, {"Host": "a b"}):
        assert (await envoy(gate, "/x", who, fields)).status == 400


async def test_strangers_may_ask_nothing(postgres_dsn, redis_url, tmp_path):
    """security 5: before their credentials are looked at."""
    async with _gate(postgres_dsn, redis_url, tmp_path, trusted_proxies=["192.0.2.1"], hosts=["127.0.0.1"]) as gate:
        for answer in (
            await forward(gate, {"Authorization": "Bearer rubbish"}, uri="/open"),
            await envoy(gate, "/open", {"Authorization": "Bearer rubbish"}),
        ):
            assert told(answer) == (403, "untrusted-proxy")


async def test_the_client_is_the_one_that_the_proxy_names(gate):
    """security 5: bans and limits count whoever asks the proxy, not the proxy."""
    for address in ("198.51.100.1", "198.51.100.2, 127.0.0.9", "192.0.2.9, 198.51.100.3"):
        assert (await forward(gate, uri="/slow", X_Forwarded_For=address)).status == 200
    for address in ("198.51.100.1", "198.51.100.2", "203.0.113.9, 198.51.100.3"):
        assert (await forward(gate, uri="/slow", X_Forwarded_For=address)).status == 429


async def test_a_session_renewed_in_passing_sets_one_cookie(gate):
    body = {"email": "ada@example.com", "password": PASSWORD}
    await gate.post("register", body, headers=FRONT)
    login = await gate.post("login", body | {"cookies": True}, headers=FRONT | {"Sec-Fetch-Site": "same-origin"})
    refresh = login.headers.getall("Set-Cookie")[1].split(";")[0]
    for answer in (await forward(gate, {"Cookie": refresh}), await envoy(gate, "/x", {"Cookie": refresh})):
        assert answer.status == 200
        (cookie,) = answer.headers.getall("Set-Cookie")
        assert cookie.startswith("__Host-gate=ey")
        assert answer.headers["Cache-Control"] == "private, no-store"


async def test_another_site_s_page_cannot_act_with_a_cookie(gate):
    """security 8: the method asked about counts, and a WebSocket is known though proxies drop Upgrade."""
    body = {"email": "ada@example.com", "password": PASSWORD}
    await gate.post("register", body, headers=FRONT)
    login = await gate.post("login", body | {"cookies": True}, headers=FRONT | {"Sec-Fetch-Site": "same-origin"})
    cookie = {"Cookie": login.headers.getall("Set-Cookie")[0].split(";")[0]}
    evil, own = {"Origin": "https://evil.example"}, {"Origin": "https://app.example"}
    socket = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "eA=="}
    assert told(await forward(gate, cookie, evil, method="POST")) == (403, "csrf")
    assert told(await envoy(gate, "/x", cookie, evil, method="POST")) == (403, "csrf")
    assert told(await forward(gate, cookie, evil, socket)) == (403, "csrf")
    assert (await forward(gate, cookie, own, method="POST")).status == 200
    assert (await forward(gate, cookie, own, socket)).status == 200
    assert (await forward(gate, cookie)).status == 200


async def test_what_is_beside_the_endpoints_is_not_found(gate):
    for path in (
        "/_gate/verify/",
        "/_gate/verify/forward/",
        "/_gate/verify/forward/x",
        "/_gate/verify/nothing",
        "/_gate/verifys",
    ):
        assert (await gate.call("GET", path, headers=asked())).status == 404, path


async def test_the_app_gets_the_client_s_cookies_less_the_gate_s_and_its_authorization_as_the_rule_says(gate):
    """As where the gate itself forwards; asked twice, since what follows from a head is remembered."""
    basic, token = {"Authorization": "Basic YTpi"}, bearer(await newcomer(gate))
    mixed = {"Cookie": "__Host-gate=x; theme=dark; gate-known=y; __Host-gate-refresh=z; lang=de"}
    own = {"Cookie": "__Host-gate=x; gate-device=y"}
    odd = {"Cookie": "a=b\u00ff; gate=x"}
    for _ in range(2):
        for asking in (lambda path, *dicts: forward(gate, *dicts, uri=path), lambda *asked: envoy(gate, *asked)):
            assert "Cookie" not in (await asking("/open")).headers
            assert (await asking("/open", mixed)).headers["Cookie"] == "theme=dark; lang=de"
            assert (await asking("/open", own)).headers["Cookie"] == ""
            assert "gate" not in (await asking("/open", odd)).headers["Cookie"]
            assert (await asking("/basic", basic)).headers["Authorization"] == "Basic YTpi"
            for path, fields in (("/open", basic), ("/basic", token), ("/x", token)):
                answer = await asking(path, fields)
                assert (answer.status, "Authorization" in answer.headers) == (200, False)


async def test_a_client_s_x_forwarded_host_cannot_have_another_host_asked_about(gate):
    """security 5: Envoy hands it on as it came."""
    who = bearer(await newcomer(gate))
    assert (await envoy(gate, "/x", who, {"X-Forwarded-Host": "app.example"})).status == 200
    elsewhere = await envoy(gate, "/x", who, {"X-Forwarded-Host": "app.example"}, host="other.example")
    assert told(elsewhere) == (400, "bad-target")
