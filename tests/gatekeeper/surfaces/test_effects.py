"""What rules do to requests and answers, on the wire: rewrite, header fields, time-outs, sizes, CORS."""

import asyncio

import pytest
import pytest_asyncio
from gates import bearer, running_gate
from upstreams import plays

APP = "https://app.example.org"
STALE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
RULES = [
    {"name": "strip", "path": "/api/**", "allow": "anyone", "rewrite": {"strip_prefix": "/api", "add_prefix": "/v2"}},
    {"name": "bare", "path": "/bare/**", "allow": "anyone", "rewrite": {"strip_prefix": "/bare"}},
    {
        "name": "fields",
        "path": "/fields",
        "allow": "anyone",
        "request_headers": {"set": {"X-Env": "prod"}, "remove": ["X-Debug"]},
        "response_headers": {"set": {"Server": "gate"}, "remove": ["X-Powered-By"]},
        "secure_headers": True,
    },
    {"name": "small", "path": "/small", "allow": "anyone", "body": 10},
    {"name": "hurried", "path": "/hurried", "allow": "anyone", "timeout": "100ms"},
    {
        "name": "shared",
        "path": "/shared/**",
        "methods": ["GET", "POST"],
        "allow": "authenticated",
        "cors": {"origins": [APP, "https://*.example.net"], "credentials": True, "expose": ["X-Gate-Reason"]},
    },
    {"name": "bearers", "path": "/bearers", "allow": "authenticated", "cors": {"origins": [APP]}},
    {
        "name": "limited",
        "path": "/limited",
        "allow": "anyone",
        "limit": {"rate": "1/minute"},
        "cors": {"origins": ["*"], "headers": ["X-One"]},
    },
    {"name": "rest", "path": "/**", "allow": "authenticated"},
]


@pytest_asyncio.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": RULES,
        "sizes": {"body": 1000},
        "cors": {"origins": [APP]},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


def vary(answer) -> str:
    return ", ".join(answer.headers.getall("Vary", ()))


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/api/a/b?x=%2F&y", "/v2/a/b?x=%2F&y"),
        ("/api", "/v2"),
        ("/api/", "/v2/"),
        ("/api/%c3%a4", "/v2/%c3%a4"),
        ("/bare", "/"),
        ("/bare/x", "/x"),
    ],
)
async def test_another_path_goes_to_the_upstream_with_the_query_as_it_is(gate, upstream, asked, sent):
    assert (await gate.call("GET", asked, headers={"X-Forwarded-Prefix": "/evil"})).status == 200
    (request,) = upstream.requests
    assert request.line == f"GET {sent} HTTP/1.1".encode()
    assert request.values(b"X-Forwarded-Prefix") == [asked[:5].rstrip("/").encode() if "bare" in asked else b"/api"]


@pytest.mark.parametrize("path", ["/api/../x", "/api//x", "/api/%2e%2e/x", "/bare//evil.example", "/api/%2fx"])
async def test_a_path_that_is_refused_is_refused_before_it_is_rewritten(gate, upstream, path):
    """security 1"""
    assert (await gate.call("GET", path)).status == 400
    assert upstream.requests == []


async def test_fields_are_set_and_removed_in_every_spelling_both_ways(gate, upstream):
    upstream.script = plays(
        STALE + b"Server: old\r\nX-Powered-By: php\r\nx_powered_by: php\r\nX-Frame-Options: DENY\r\n\r\nok"
    )
    sent = {"X-Debug": "1", "x_debug": "2", "X-Env": "test", "x_env": "test", "X-Other": "kept"}
    answer = await gate.call("GET", "/fields", headers=sent)
    (request,) = upstream.requests
    assert [request.values(name) for name in (b"X-Debug", b"x_debug", b"x_env")] == [[], [], []]
    assert (request.values(b"X-Env"), request.values(b"X-Other")) == ([b"prod"], [b"kept"])
    assert answer.headers.getall("Server") == ["gate"]
    assert not {"X-Powered-By", "x_powered_by"} & set(answer.headers)
    assert answer.headers.getall("X-Frame-Options") == ["DENY"]  # the upstream has the word
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in answer.headers  # over http it means nothing


async def test_what_one_rule_does_to_equal_fields_is_not_done_for_another(gate, upstream):
    await gate.call("GET", "/fields", headers={"X-Debug": "1"})
    await gate.call("GET", "/small", headers={"X-Debug": "1"})
    assert [request.values(b"X-Debug") for request in upstream.requests] == [[], [b"1"]]


async def _chunks(size: int):
    for _ in range(size):
        yield b"x"


async def test_a_rule_bounds_bodies_below_the_general_size(gate, upstream):
    assert (await gate.call("POST", "/small", data=b"x" * 10)).status == 200
    assert (await gate.call("POST", "/small", data=b"x" * 11)).status == 413
    assert (await gate.call("POST", "/small", data=_chunks(11))).status == 413
    assert (await gate.call("POST", "/hurried", data=b"x" * 11)).status == 200
    assert [len(request.body) for request in upstream.requests if len(request.body) >= 10] == [10, 11]


async def test_a_rule_gives_its_upstream_less_time_on_a_kept_connection_too(gate, upstream):
    silent = asyncio.Event()

    async def script(wire):
        while (request := await wire.request()) is not None:
            if request.target == b"/hurried":
                await silent.wait()
            await wire.send(STALE + b"\r\nok")

    upstream.script = script
    assert (await gate.call("GET", "/small")).status == 200
    answer = await gate.call("GET", "/hurried")
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (504, "upstream-timeout")
    assert (await gate.call("GET", "/small")).status == 200


def preflight(origin: str, method: str = "POST", headers: str | None = "x-csrf, content-type") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked if headers is None else {**asked, "Access-Control-Request-Headers": headers}


@pytest.mark.parametrize("origin", [APP, "https://a.example.net", "https://a.b.example.net"])
async def test_the_gate_answers_a_preflight_itself_without_credentials(gate, upstream, origin):
    answer = await gate.call("OPTIONS", "/shared/x", headers=preflight(origin))
    assert (answer.status, upstream.requests) == (204, [])
    allowed = {name[21:]: value for name, value in answer.headers.items() if name.startswith("Access-Control-Allow-")}
    assert allowed == {
        "Origin": origin,
        "Credentials": "true",
        "Methods": "GET, HEAD, POST",
        "Headers": "x-csrf, content-type",
    }
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "Origin" in vary(answer)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/shared/x", preflight("https://evil.example")),
        ("/shared/x", preflight("https://example.net")),
        ("/shared/x", preflight("https://a.example.net.evil.example")),
        ("/shared/x", preflight("https://evil.example/.example.net")),
        ("/shared/x", preflight("http://app.example.org")),
        ("/shared/x", preflight("null")),
        ("/shared/x", preflight(APP, "DELETE")),
        ("/shared/x", {"Origin": APP}),
        ("/elsewhere", preflight(APP)),
    ],
)
async def test_a_preflight_that_no_rule_admits_is_an_ordinary_request(gate, upstream, path, headers):
    answer = await gate.call("OPTIONS", path, headers=headers)
    assert answer.status in {401, 403}
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert upstream.requests == []


async def test_header_names_that_are_none_are_not_echoed(gate):
    answer = await gate.call("OPTIONS", "/shared/x", headers=preflight(APP, headers="x-a, <script>"))
    assert answer.status == 204
    assert "Access-Control-Allow-Headers" not in answer.headers


async def test_answers_and_refusals_carry_cors_and_the_upstreams_own_is_dropped(gate, upstream):
    upstream.script = plays(*[STALE + b"Access-Control-Allow-Origin: *\r\nVary: Accept\r\n\r\nok"] * 2)
    tokens = await gate.newcomer()
    answer = await gate.call("GET", "/shared/x", headers={**bearer(tokens), "Origin": APP})
    assert answer.headers.getall("Access-Control-Allow-Origin") == [APP]
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Gate-Reason"
    assert vary(answer) == "Accept, Origin"
    other = await gate.call("GET", "/shared/x", headers={**bearer(tokens), "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Origin" in vary(other)
    refused = await gate.call("GET", "/shared/x", headers={"Origin": APP})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, APP)


async def _cookie(gate) -> str:
    await gate.register("eve@example.com")
    login = {"email": "eve@example.com", "password": "correct horse battery 9", "cookies": True}
    answer = await gate.post("login", login, headers={"Origin": gate.url})
    return "; ".join(value.partition(";")[0] for value in answer.headers.getall("Set-Cookie"))


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/shared/x", APP, 200),
        ("/shared/x", "https://evil.example", 403),
        ("/bearers", APP, 403),  # listed, but without credentials
        ("/rest", APP, 403),
    ],
)
async def test_cookies_count_from_another_origin_only_where_the_rule_says_credentials(gate, path, origin, status):
    """security 8: a rule may list origins"""
    sent = {"Cookie": await _cookie(gate), "Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = await gate.call("POST", path, data=b"x", headers=sent)
    assert answer.status == status
    assert answer.headers.get("X-Gate-Reason") == (None if status == 200 else "csrf")
    assert answer.headers.get("Access-Control-Allow-Origin") == (APP if path != "/rest" and origin == APP else None)


async def test_every_origin_is_allowed_without_credentials_and_limits_count_preflights(gate):
    first = await gate.call("OPTIONS", "/limited", headers=preflight("https://any.example", "GET"))
    assert (first.status, first.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert first.headers["Access-Control-Allow-Headers"] == "X-One"
    assert "Access-Control-Allow-Credentials" not in first.headers
    second = await gate.call("OPTIONS", "/limited", headers=preflight("https://any.example", "GET"))
    assert (second.status, second.headers["Access-Control-Allow-Origin"]) == (429, "*")


async def test_the_api_answers_other_origins_that_are_listed_and_none_with_cookies(gate):
    asked = await gate.call("OPTIONS", "/_gate/auth/login", headers=preflight(APP))
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, APP)
    assert "Access-Control-Allow-Credentials" not in asked.headers
    evil = await gate.call("OPTIONS", "/_gate/auth/login", headers=preflight("https://evil.example"))
    assert "Access-Control-Allow-Origin" not in evil.headers
    refused = await gate.call("GET", "/_gate/auth/session", headers={"Origin": APP})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, APP)
    elsewhere = await gate.call("GET", "/_gate/jwks.json", headers={"Origin": APP})
    assert "Access-Control-Allow-Origin" not in elsewhere.headers


@pytest.mark.parametrize("verify", [False, True])
async def test_what_a_rule_on_trial_would_have_done_is_counted_at_every_surface(
    postgres_dsn, redis_url, tmp_path, upstream, verify
):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "trial", "path": "/**", "allow": "nobody", "report_only": True},
            {"name": "real", "path": "/**", "allow": "anyone"},
        ],
        "trusted_proxies": ["127.0.0.0/8"],
    }
    asked = {"X-Original-Method": "GET", "X-Original-URI": "/x", "X-Forwarded-For": "192.0.2.1"}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        answer = await gate.call("GET", "/_gate/verify" if verify else "/x", headers=asked if verify else {})
        assert answer.status == 200
        metrics = gate.gatekeeper.reloader.running.metrics.render().decode()
        assert 'gatekeeper_reported_total{decision="deny",reason="rule-denied",rule="trial"} 1.0' in metrics
