"""Whatever the gate's own proxy says of a request, the verify endpoints say of it too (contract: the table of cases).

Requests are drawn at random, always the same ones: paths that servers read differently, methods, callers, origins.
"""

from random import Random

from gates import bearer, running_gate
from upstreams import Upstream

FIRST = ["/", "/x", "/admin", "/open", "/few", "/a.b", "//", "/..", "/%2e%2e"]
PIECES = ["", *FIRST, "/.", "%2f", "%41", ";a", "%", "%zz", "~"]
QUERIES = ["", "?", "?a=/../admin", "?next=%2Fopen", "?a#b"]
METHODS = ["GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS"]
ORIGINS = [{}, {"Origin": "http://app.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
RULES = [
    {"name": "open", "path": "/open/**", "allow": "anyone"},
    {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
    {"name": "any", "path": "/x/**", "allow": "authenticated"},
    {"name": "few", "path": "/few/**", "allow": "anyone", "limit": {"rate": "1/day", "by": "header:X-Draw"}},
    {"name": "get", "path": "/a*", "methods": ["GET"], "allow": "authenticated"},
]


async def test_every_surface_says_the_same(postgres_dsn, redis_url, tmp_path):
    """security 1"""
    draw = Random(5)
    async with Upstream() as app:
        settings = {
            "hosts": ["app.example"],
            "trusted_proxies": ["127.0.0.1"],
            "rules": RULES,
            "upstreams": {"api": {"targets": [app.address]}},
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            callers = [{}, {"Authorization": "Bearer x"}, *await _callers(gate)]
            told = set()
            for number in range(70):
                path = draw.choice(FIRST) + draw.choice(["", draw.choice(PIECES)]) + draw.choice(QUERIES)
                fields = draw.choice(callers) | draw.choice(ORIGINS) | {"X-Draw": str(number // 2)}
                told.add(await _all_say(gate, draw.choice(METHODS), path, fields))
    reasons = {reason for _, reason in told}
    assert reasons >= {None, "bad-target", "credentials-missing", "token-invalid", "rule-denied", "no-rule", "csrf"}


async def _callers(gate):
    tokens = await gate.newcomer()
    body = {"email": "ada@example.com", "password": "correct horse battery 9", "cookies": True}
    login = await gate.post("login", body, headers={"Sec-Fetch-Site": "same-origin"})
    cookies = [value.split(";")[0] for value in login.headers.getall("Set-Cookie")]
    return [bearer(tokens), {"Cookie": cookies[0]}, {"Cookie": cookies[1]}]


async def _all_say(gate, method, path, fields):
    """Ask them all, each for a client of its own; what they said."""
    whence = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "app.example", "X-Forwarded-For": "192.0.2.1"}
    forward = whence | {"X-Forwarded-Method": method, "X-Forwarded-Uri": path}
    nginx = whence | {"Host": "app.example", "X-Original-Method": method, "X-Original-URI": path}
    envoy = {**whence, "Host": "app.example"}
    words = {}
    for name, verb, target, asked in (
        ("proxy", method, path, whence),
        ("forward", "GET", "/_gate/verify/forward", forward),
        ("envoy", method, f"/_gate/verify/envoy{path}", envoy),
        ("nginx", "GET", "/_gate/verify", nginx),
    ):
        own = {"X-Draw": f"{name} {fields['X-Draw']}"}
        answer = await gate.call(verb, target, headers=asked | fields | own)
        words[name] = answer.status, answer.headers.get("X-Gate-Reason")
    status, reason = words["proxy"]
    narrowed = (status if status in {200, 401} else 403, reason)  # nginx knows no others
    case = method, path, fields, words
    assert (words["forward"], words["envoy"], words["nginx"]) == (words["proxy"], words["proxy"], narrowed), case
    return status, reason
