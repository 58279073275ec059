"""The forwarded request, byte for byte at the upstream "U" (security 1, 3, 4, 5, 29)."""

import asyncio
import json

import jwt
import pytest
from factories import ISSUER
from gates import bearer, running_gate
from upstreams import Upstream, plays, unused_port


@pytest.fixture(params=[True, False], ids=["lean", "framework"])
def express(request):
    """Both kinds of connection forward alike."""
    return request.param


async def raw(gate, request: bytes) -> bytes:
    """What the gate answers to these bytes on a connection of their own."""
    host, port = gate.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


def head(gate, line: str, *fields: str, tokens=None) -> bytes:
    """A request head with Host, and Authorization for ``tokens``."""
    own = [f"Host: {gate.url.removeprefix('http://')}", "Connection: close"]
    if tokens:
        own.append(f"Authorization: Bearer {tokens['access_token']}")
    return "\r\n".join([f"{line} HTTP/1.1", *own, *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_is_forwarded_with_path_query_and_body(gate, upstream, method):
    tokens = await gate.newcomer()
    body = b"some body" if method in {"POST", "PUT", "PATCH"} else None
    answer = await gate.call(method, "/a/b?x=%2F&y=1+2&z", data=body, headers=bearer(tokens))
    assert answer.status == 200
    (request,) = upstream.requests
    assert request.line == f"{method} /a/b?x=%2F&y=1+2&z HTTP/1.1".encode()
    assert request.body == (body or b"")


async def test_the_upstream_is_told_who_asks(gate, upstream):
    tokens = await gate.newcomer()
    await gate.call("GET", "/x", headers=bearer(tokens))
    (request,) = upstream.requests
    told = {name: request.values(name)[0].decode() for name in (b"X-Gate-Subject", b"X-Gate-User", b"X-Gate-Session")}
    assert list(told.values()) == [tokens["user"]["id"], "ada@example.com", tokens["session_id"]]
    assert request.values(b"X-Gate-Email-Verified") == [b"false"]
    assert request.values(b"X-Gate-Roles") == []
    assert request.values(b"Authorization") == []


async def test_the_assertion_verifies_by_jwks_and_names_the_upstream(gate, upstream):
    tokens = await gate.newcomer()
    await gate.call("GET", "/x", headers=bearer(tokens))
    (assertion,) = upstream.requests[0].values(b"X-Gate-Assertion")
    keys = (await (await gate.call("GET", "/_gate/jwks.json")).json())["keys"]
    kid = jwt.get_unverified_header(assertion.decode())["kid"]
    key = jwt.PyJWK(next(key for key in keys if key["kid"] == kid))
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    claims = jwt.decode(assertion.decode(), key, algorithms=["EdDSA"], audience="api", options=options)
    assert (claims["sub"], claims["iss"]) == (tokens["user"]["id"], gate.url)
    assert claims["exp"] - claims["iat"] == 300
    # security 10: an assertion is no access token
    assert (await gate.call("GET", "/x", headers=bearer(assertion.decode()))).status == 401
    assert gate.url != ISSUER


FORGED = [
    "X-Gate-User",
    "x-gate-user",
    "X_Gate_User",
    "X-Gate_User",
    "X-Gate-Roles",
    "X-GATE-SUBJECT",
    "x_gate_assertion",
    "X-Gate-Country",
]


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("path", ["/x", "/health"])
async def test_a_forged_identity_header_never_reaches_the_upstream(gate, upstream, name, path):
    """security 3"""
    tokens = await gate.newcomer() if path == "/x" else None
    fields = [f"{name}: evil", f"{name}: evil2", f"Connection: close, {name}"]
    assert (await raw(gate, head(gate, f"GET {path}", *fields, tokens=tokens))).startswith(b"HTTP/1.1 200")
    assert b"evil" not in upstream.raw


async def test_an_identity_header_named_in_connection_is_set_all_the_same(gate, upstream):
    """security 3: Connection must not strip what the gate itself sets"""
    tokens = await gate.newcomer()
    fields = ["Connection: close, X-Gate-User, X-Gate-Subject, X-Forwarded-For"]
    await raw(gate, head(gate, "GET /x", *fields, tokens=tokens))
    assert upstream.requests[0].values(b"X-Gate-User") == [b"ada@example.com"]
    assert upstream.requests[0].values(b"X-Forwarded-For") == [b"127.0.0.1"]


async def test_an_identity_header_in_a_trailer_is_dropped(gate, upstream):
    """security 3"""
    tokens = await gate.newcomer()
    request = head(gate, "POST /x", "Transfer-Encoding: chunked", "Trailer: X-Gate-User", tokens=tokens)
    answer = await raw(gate, request + b"3\r\nabc\r\n0\r\nX-Gate-User: evil\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert upstream.requests[0].body == b"abc"
    assert b"evil" not in upstream.raw


async def test_forwarding_headers_of_strangers_are_replaced(gate, upstream):
    """security 5"""
    tokens = await gate.newcomer()
    names = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "X-Original-URL"]
    fields = [f"{name}: 203.0.113.99" for name in [*names, "X-Rewrite-URL", "X-Request-Id", "Via"]]
    await raw(gate, head(gate, "GET /x", *fields, tokens=tokens))
    (request,) = upstream.requests
    assert b"203.0.113.99" not in upstream.raw
    authority = gate.url.removeprefix("http://").encode()
    assert request.values(b"X-Forwarded-For") == [b"127.0.0.1"]
    assert request.values(b"X-Forwarded-Host") == [authority]
    assert request.values(b"X-Forwarded-Proto") == [b"http"]
    assert len(request.values(b"X-Request-Id")[0]) == 24


async def test_a_trusted_proxy_s_word_is_kept_and_extended(postgres_dsn, redis_url, tmp_path, upstream):
    """security 5"""
    settings = {"trusted_proxies": ["127.0.0.0/8"], "upstreams": {"api": {"targets": [upstream.address]}}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        tokens = await gate.newcomer()
        headers = bearer(tokens) | {"X-Forwarded-For": "203.0.113.7, 198.51.100.2", "X-Request-Id": "abc"}
        await gate.call("GET", "/x", headers=headers)
        (row,) = await gate.rows("SELECT host(address) AS address FROM login_logs")
    (request,) = upstream.requests
    assert request.values(b"X-Forwarded-For") == [b"203.0.113.7, 198.51.100.2, 127.0.0.1"]
    assert request.values(b"X-Real-IP") == [b"198.51.100.2"]
    assert request.values(b"X-Request-Id") == [b"abc"]
    assert row["address"] == "127.0.0.1"


AMBIGUOUS = [
    "/a/../b",
    "/a/./b",
    "/a/%2e%2e/b",
    "/a/%2E./b",
    "//evil/x",
    "/a//b",
    "/a%2fb",
    "/a%5Cb",
    "/a\\b",
    "/a;b",
    "/a%00",
    "/a%0d%0ab",
    "/a%7f",
    "/a%zz",
    "/a%",
    "/a#b",
    "/a/%252e%252e/b",
    "/\xe9",
    "http://127.0.0.1/x",
    "*",
    "127.0.0.1:80",
]


@pytest.mark.parametrize("target", AMBIGUOUS)
async def test_an_ambiguous_target_is_refused_and_reaches_nobody(gate, upstream, target):
    """security 1, 2"""
    tokens = await gate.newcomer()
    answer = await raw(gate, head(gate, f"GET {target}", tokens=tokens))
    assert answer.startswith(b"HTTP/1.1 400"), answer[:300]
    assert upstream.raw == b""


async def test_what_is_decided_is_what_is_forwarded(gate, upstream):
    """security 1: an encoded spelling of a guarded path is that path, for the rule and for the upstream"""
    tokens = await gate.newcomer()
    answer = await raw(gate, head(gate, "GET /%61dmin/x", tokens=tokens))
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"rule-denied" in answer
    await raw(gate, head(gate, "GET /%7Euser/%41", tokens=tokens))
    assert [request.target for request in upstream.requests] == [b"/~user/A"]


@pytest.mark.parametrize("line", ["CONNECT 127.0.0.1:1", "TRACE /x", "get /x", "PROPFIND /x"])
async def test_other_methods_are_refused(gate, upstream, line):
    """security 2"""
    tokens = await gate.newcomer()
    answer = await raw(gate, head(gate, line, tokens=tokens))
    assert answer[9:12] in {b"400", b"501"}
    assert upstream.raw == b""


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1"])
async def test_another_host_or_port_is_misdirected(gate, upstream, host):
    answer = await raw(gate, f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421")
    assert b"unknown-host" in answer
    assert upstream.raw == b""


async def test_what_is_under_the_prefix_is_never_forwarded(gate, upstream):
    tokens = await gate.newcomer()
    for path in ("/_gate", "/_gate/", "/_gate/nothing", "/%5fgate/nothing", "/_gate/auth/%6cogin"):
        answer = await gate.call("GET", path, headers=bearer(tokens))
        assert answer.status in {404, 405}, path
    assert upstream.raw == b""


async def test_no_rule_is_403_with_and_without_credentials(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [{"name": "one", "path": "/one", "allow": "authenticated"}],
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        tokens = await gate.newcomer()
        for headers in ({}, bearer(tokens)):
            answer = await gate.call("GET", "/two", headers=headers)
            assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "no-rule")


async def test_a_browser_is_led_to_the_login_page_and_an_api_is_told_401(gate):
    navigation = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    answer = await gate.call("GET", "/a/b?c=d&e", headers=navigation)
    assert (answer.status, answer.headers["Location"]) == (302, "/_gate/login?next=%2Fa%2Fb%3Fc%3Dd%26e")
    answer = await gate.call("POST", "/a", headers=navigation)
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?next=%2F")
    answer = await gate.call("GET", "/a", headers={"Sec-Fetch-Mode": "cors", "Accept": "text/html"})
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.content_type == "application/problem+json"


HOSTILE = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: gate=evil; Path=/\r\nSet-Cookie: __Host-gate-refresh=evil\r\n"
    b'Set-Cookie: theme=dark\r\nX-Gate-Reason: evil\r\nX-Gate-User: evil\r\nClear-Site-Data: "*"\r\n'
    b"Service-Worker-Allowed: /\r\nConnection: X-Secret\r\nX-Secret: evil\r\nX-Kept: 1\r\n\r\nok"
)


async def test_what_an_upstream_may_not_say_is_dropped(postgres_dsn, redis_url, tmp_path):
    """security 4, 29"""
    async with Upstream(plays(HOSTILE)) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            answer = await gate.call("GET", "/health")
    assert answer.headers.getall("Set-Cookie") == ["theme=dark"]
    assert answer.headers["X-Kept"] == "1"
    gone = {"X-Gate-Reason", "X-Gate-User", "Clear-Site-Data", "Service-Worker-Allowed", "X-Secret"}
    assert not gone & set(answer.headers)
    assert answer.headers.get("Connection") in {None, "close"}  # the gate's own


async def test_bodies_stream_both_ways(gate, upstream):
    tokens = await gate.newcomer()
    parts = [bytes([value]) * 70_000 for value in range(10)]

    async def body():
        for part in parts:
            yield part

    answer = await gate.call("POST", "/x", data=body(), headers=bearer(tokens))
    assert answer.status == 200
    assert upstream.requests[0].chunked
    assert upstream.requests[0].body == b"".join(parts)


async def test_a_chunked_answer_and_a_close_delimited_one_arrive_whole(postgres_dsn, redis_url, tmp_path):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    async with Upstream(plays(chunked)) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            assert await (await gate.call("GET", "/health")).text() == "hello world"


async def test_a_truncated_body_never_looks_complete(postgres_dsn, redis_url, tmp_path):
    """security 4"""
    import aiohttp

    async with Upstream(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
                await gate.call("GET", "/health")


async def test_an_upstream_that_is_away_is_502_by_name_and_not_by_address(postgres_dsn, redis_url, tmp_path):
    port = unused_port()
    settings = {"upstreams": {"api": {"targets": [f"http://127.0.0.1:{port}"]}}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        answer = await gate.call("GET", "/health")
        problem = json.loads(await answer.text())
    assert (answer.status, problem["type"], problem["upstream"]) == (502, "urn:gatekeeper:upstream-unavailable", "api")
    assert str(port) not in json.dumps(problem)


async def test_a_slow_upstream_is_504(postgres_dsn, redis_url, tmp_path):
    async def silent(wire):
        await wire.until_closed()

    async with Upstream(silent) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address], "timeout": "100ms"}}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            answer = await gate.call("GET", "/health")
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (504, "upstream-timeout")


async def test_a_body_over_the_limit_is_413(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "sizes": {"body": "1KiB"}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        tokens = await gate.newcomer()
        answer = await gate.call("POST", "/x", data=b"x" * 1025, headers=bearer(tokens))
    assert answer.status == 413
    assert upstream.requests == []


async def test_100_continue_comes_only_once_the_request_is_allowed(gate, upstream):
    tokens = await gate.newcomer()
    expecting = ["Expect: 100-continue", "Content-Length: 4"]
    refused = await raw(gate, head(gate, "POST /x", *expecting))
    assert refused.startswith(b"HTTP/1.1 401")
    allowed = await raw(gate, head(gate, "POST /x", *expecting, tokens=tokens) + b"body")
    assert allowed.startswith((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", b"HTTP/1.1 200"))
    assert upstream.requests[0].body == b"body"
    assert upstream.requests[0].values(b"Expect") == []


async def test_with_redis_gone_tokens_get_503_and_public_routes_go_on(postgres_dsn, tmp_path, short_tmp, upstream):
    """security 23, and 14: what was flushed away is not revived"""
    import servers

    with servers.valkey_server(short_tmp) as valkey:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, valkey.url, tmp_path, **settings) as gate:
            tokens = await gate.newcomer()
            valkey.kill()
            answer = await gate.call("GET", "/x", headers=bearer(tokens))
            assert (answer.status, answer.headers["X-Gate-Reason"]) == (503, "store-unavailable")
            assert (await gate.call("GET", "/health", headers=bearer(tokens))).status == 200
            ready = await gate.call("GET", "/_gate/health/ready")
            assert (ready.status, (await ready.json())["failed"]) == (503, ["redis"])
            valkey.start()
            async with asyncio.timeout(60):
                while (await gate.call("GET", "/_gate/health/ready")).status != 200:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert (await gate.call("GET", "/x", headers=bearer(tokens))).status in {200, 401}


async def test_answers_under_a_rule_s_limit_say_how_one_stands(postgres_dsn, redis_url, tmp_path, upstream):
    rules = [{"name": "api", "path": "/**", "allow": "anyone", "limit": {"rate": "2/minute"}}]
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": rules}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        answers = [await gate.call("GET", "/x") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [f'"api";r={left};t=61' for left in (1, 0, 0)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"api";q=2;w=60'}
    assert answers[2].headers["Retry-After"] == "61"
    assert len(upstream.requests) == 2


async def test_the_limit_of_an_address_holds_over_all_rules(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "limits": {"default": "3/minute"}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        answers = [await gate.call("GET", path) for path in ("/health", "/x", "/health", "/health", "/x")]
    assert [answer.status for answer in answers] == [200, 401, 200, 429, 429]
