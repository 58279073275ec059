"""admin/calls.py, admin/operations.py: every call of the panel is declared once, P/openapi.json has it, and answers and
refusals are as that says (issue 7.10).
"""

import uuid

from factories import NOW, PASSWORD
from gates import bearer
from openapi_spec_validator import validate
from panel_document import API, PanelDocument

from gatekeeper.notify.outbox import Parcel, masked
from gatekeeper.store.outbox import PostgresOutbox

STREAM = ("GET", "activity/stream")
#: Pages whose facts are another call's: a form has none, and a search only leads on.
ELSEWHERE = {
    "": "overview",
    "sessions/end": "sessions/count",
    "users/bulk": "users/count",
    "users/{user}/devices": "users/{user}",
    "users/new": None,
    "users/invite": None,
    "bans/import": None,
    "search": None,
}
WHY = {"why": "because of the test"}
#: Every call that changes something, or is asked by POST, in an order in which all of them succeed.
ACTS = [
    ("POST", "bans", {"subject": "192.0.2.1", "length": "1h", **WHY}),
    ("POST", "bans", {"subject": "127.0.0.1", "length": None, "sure": True, **WHY}),
    ("POST", "bans/lift", {"subject": "127.0.0.1"}),
    ("POST", "bans/import", {"list": "192.0.2.9\nCH", "length": "30d", **WHY}),
    ("POST", "rules/check", {"text": "listen: [127.0.0.1:1]\nmistake: 1"}),
    ("POST", "activity/verify", None),
    ("POST", "users", {"email": "new@example.com", "roles": ["staff"], "must_change": True}),
    ("POST", "users/invite", {"email": "guest@example.com", "roles": "staff reports"}),
    ("POST", "users/{user}/trust-device", {"device": "{device}", **WHY}),
    ("POST", "users/{user}/revoke-key", {"key": "{key}", **WHY}),
    ("POST", "logins/{attempt}/trust", WHY),
    ("DELETE", "sessions/{session}", None),
    ("POST", "users/{user}/forget-device", {"device": "{device}", **WHY}),
    ("POST", "users/{user}/roles", {"roles": ["staff"], **WHY}),
    ("POST", "users/{user}/rename", {"name": "Ada L.", **WHY}),
    ("POST", "users/{user}/change-email", {"email": "lovelace@example.com", **WHY}),
    ("POST", "users/{user}/expire-password", WHY),
    ("POST", "users/{user}/remove-factor", {"factor": "totp", **WHY}),
    ("POST", "users/{user}/reset-factors", WHY),
    ("POST", "users/{user}/logout", WHY),
    ("POST", "users/{user}/lock", WHY),
    ("POST", "users/{user}/unlock", WHY),
    ("POST", "users/bulk", {"act": "lock", "text": "ada", "state": "active", "count": 1, **WHY}),
    ("POST", "users/bulk", {"act": "unlock", "state": "locked", **WHY}),
    ("POST", "sessions/end", {"user": "ada", **WHY}),
    *(("POST", f"signals/{{{name}}}/{name}", None) for name in ("end", "lock", "ban", "close")),
    ("POST", "mail/retry", {"message": "{message}", **WHY}),
    ("POST", "mail/discard", {"all": "waiting", **WHY}),
    ("POST", "keys/rotate", {"purpose": "assertion", **WHY}),
    ("POST", "keys/retire", {"kid": "{kid}", **WHY}),
    ("POST", "rules/reload", WHY),
]
QUERIES = {
    "bans/history": "?subject=192.0.2.1",
    "rules/explain": "?url=/x&method=POST&mfa_age=5m&country=CH",
    "logins": "?result=success&range=24h&country=unknown",
    "sessions": "?user=ada&method=password",
    "sessions/count": "?idle=1m&age=1m",
    "users": "?factor=none&unseen=30d",
    "overview": "?range=7d",
    "map": "?range=24h&at=3",
}
WRONG = [
    ("GET", "logins?usr=ada", None, "/usr"),
    ("GET", "logins?result=maybe", None, "/result"),
    ("GET", "logins?country=CHE", None, "/country"),
    ("GET", "logins?area=1,2", None, "/area"),
    ("GET", "map?at=99", None, "/at"),
    ("GET", "users?state=gone", None, "/state"),
    ("GET", "users.csv?unseen=soon", None, "/unseen"),
    ("POST", "users/bulk", {"act": "lock", "state": "active", "count": -1, **WHY}, "/count"),
    ("GET", "bans?after=x", None, "/after"),
    ("GET", "sessions?user=ada&user=root", None, "/user"),
    ("GET", "bans/history", None, "/subject"),
    ("POST", "sessions/end", {"user": "ada", "adress": "192.0.2.1", **WHY}, "/adress"),
    ("POST", "bans", {"subject": 7, **WHY}, "/subject"),
    ("POST", "bans", {"subject": "CH"}, "/why"),
    ("POST", "bans?subject=CH", WHY, "/subject"),
    ("POST", "users", {"email": "a@example.com", "must_change": "no"}, "/must_change"),
    ("POST", "keys/rotate", {"purpose": "fun", **WHY}, "/purpose"),
    ("POST", "rules/check", {"texts": "x"}, "/text"),
]
ODD = """
INSERT INTO login_logs (id, time, email, user_id, session, result, method, address, signals, risk, request_id)
SELECT gen_random_uuid(), timestamptz '2027-01-15 07:59:00+00', email, '{user}', '{session}', 'success', 'password',
  ('192.0.2.' || n)::inet, ARRAY['password_spray'], 70, 'r'
FROM (VALUES ('ada@example.com')) AS rows (email), generate_series(11, 14) n
RETURNING id
"""


async def test_the_document_is_openapi_and_has_exactly_the_routes(gate):
    found = await PanelDocument.of(gate)
    validate(found.document)
    routes = {
        (route.method, route.resource.canonical.removeprefix(API))
        for route in gate.gatekeeper.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(API) and route.method not in {"HEAD", "*"}
    }
    assert set(found.calls) == routes
    assert found.document["components"]["securitySchemes"]["apiKey"]["name"] == "X-Api-Key"


async def test_what_is_no_call_says_what_there_is(gate, admin):
    root = bearer(await gate.login("root@example.com"))
    made = await gate.post("api-keys", {"name": "x", "scopes": ["admin:read"]}, headers=root)
    for headers in (root, {"X-Api-Key": (await made.json())["key"]}):
        answer = await gate.call("GET", f"{API}ban", headers=headers)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (404, "not-found")
        for method, path, allowed in (("PUT", "bans", "GET, POST"), ("PATCH", "sessions/x", "DELETE, GET")):
            answer = await gate.call(method, API + path, headers=headers)
            assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        misspelt = await gate.call("GET", f"{API}users/x/story?knd=1", headers=headers)
        assert (await misspelt.json())["errors"] == [
            {"pointer": "/knd", "detail": "is not known here; known are: after, kind"}
        ]
    for strange in ({}, bearer(await gate.newcomer("ada@example.com"))):
        answers = [await gate.call("PUT", API + path, headers=strange) for path in ("bans", "nothing")]
        assert len({(answer.status, answer.headers["X-Gate-Reason"]) for answer in answers}) == 1, "nothing to map"


async def test_what_a_page_shows_is_a_call_too(gate):
    found, home = await PanelDocument.of(gate), "/_gate/admin/"
    pages = {
        route.resource.canonical.removeprefix(home)
        for route in gate.gatekeeper.app.router.routes()
        if route.method == "GET" and route.resource.canonical.startswith(home)
    }
    assert "logins/{attempt}" in pages
    calls = {path for method, path in found.calls if method == "GET"}
    calls.add("rules/check")  # a POST: the text is large
    for page in pages:
        wanted = ELSEWHERE.get(page, page)
        assert page.startswith("api/") or wanted is None or wanted in calls, page


async def test_every_call_answers_as_the_document_says(gate, admin):
    found, headers = await PanelDocument.of(gate), bearer(await gate.login("root@example.com"))
    names = await _names(gate, headers)
    gate.gatekeeper.reloader.running.reloads.request = lambda: None

    async def ask(method, path, body=None):
        body = body and {field: _named(value, names) for field, value in body.items()}
        address = _named(path, names)
        answer = await gate.call(method, API + address, headers=headers, json=body)
        assert answer.status == 200, (path, await answer.text())
        return await found.check(method, address, answer)

    async def read():
        for method, path in found.calls:
            if method == "GET" and (method, path) != STREAM:
                await ask(method, path + QUERIES.get(path, ""))

    await read()
    for method, path, body in ACTS:
        await ask(method, path, body)
    await read()
    assert set(found.calls) - found.answered == {STREAM}, "a call that changes something is in ACTS"


async def _names(gate, headers):
    """What the calls are about."""
    ada = await gate.newcomer("ada@example.com")
    user, session = ada["user"]["id"], ada["session_id"]
    made = await gate.post("api-keys", {"name": "reports", "scopes": ["/reports/**"]}, headers=bearer(ada))
    (attempt,) = await gate.rows(f"SELECT id FROM login_logs WHERE session = '{session}'")
    account = await (await gate.call("GET", f"{API}users/{user}", headers=headers)).json()
    keys = (await (await gate.call("GET", f"{API}keys", headers=headers)).json())["keys"]
    message, other = (
        Parcel(uuid.uuid4(), "smtp", "test", b"sealed", NOW + 3 * 86_400, recipient=masked("ada@example.com"))
        for _ in range(2)  # one is being sent, perhaps, while all that wait are discarded
    )
    await PostgresOutbox(gate.gatekeeper.reloader.running.stores.postgres).put([message, other], NOW + 3600)
    await gate.rows(
        f"INSERT INTO totp_secrets (user_id, sealed, confirmed_at) VALUES ('{user}', 'x', now()) RETURNING 1"
    )
    odd = await gate.rows(ODD.format(user=user, session=session))
    return {
        "user": user,
        "session": session,
        "attempt": str(attempt["id"]),
        "key": (await made.json())["id"],
        "device": account["devices"][0]["id"],
        "kid": next(key["kid"] for key in keys if key["purpose"] == "access"),
        "message": str(message.id),
        "change": "1",
        "rule": "api",
        **{name: str(row["id"]) for name, row in zip(("end", "lock", "ban", "close"), odd, strict=True)},
    }


def _named(text, names):
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value) if isinstance(text, str) else text
    return text


async def test_what_a_call_does_not_know_is_refused_by_its_name(gate, admin):
    found, headers = await PanelDocument.of(gate), bearer(await gate.login("root@example.com"))
    for method, path, body, pointer in WRONG:
        answer = await gate.call(method, API + path, headers=headers, json=body)
        problem = await found.check(method, path, answer)
        assert (answer.status, problem["errors"][0]["pointer"]) == (422, pointer), path
    assert await gate.rows("SELECT 1 FROM audit_log WHERE action LIKE 'ban.%' OR action LIKE 'session.%'") == []


async def test_every_refusal_is_as_the_document_says(gate, admin):
    found, root = await PanelDocument.of(gate), await gate.login("root@example.com")
    ada, headers = await gate.newcomer("ada@example.com"), bearer(root)
    made = await gate.post("api-keys", {"name": "x", "scopes": ["admin:read"]}, headers=headers)
    key = {"X-Api-Key": (await made.json())["key"]}
    as_json = {"Content-Type": "application/json"}
    ban = {"subject": "192.0.2.1", **WHY}
    nobody = "00000000-0000-4000-8000-000000000000"
    cases = [
        ("GET", "bans", 401, {}),
        ("GET", "bans", 404, {"headers": bearer(ada)}),
        ("POST", "bans", 403, {"headers": key, "json": ban}),
        ("POST", "bans", 400, {"headers": headers | as_json, "data": b"{"}),
        ("POST", "bans", 415, {"headers": headers, "data": b"subject=CH"}),
        ("POST", "bans", 413, {"headers": headers | as_json, "data": b'"' + b"x" * 70_000 + b'"'}),
        ("POST", "bans", 422, {"headers": headers, "json": [ban]}),
        ("GET", f"users/{nobody}", 404, {"headers": headers}),
        ("GET", "users/x", 404, {"headers": headers}),
        ("POST", f"users/{root['user']['id']}/lock", 422, {"headers": headers, "json": WHY}),
        ("POST", "users", 409, {"headers": headers, "json": {"email": "ada@example.com", "password": PASSWORD}}),
        ("POST", "keys/retire", 409, {"headers": headers, "json": {"kid": "none", **WHY}}),
        ("POST", "rules/reload", 409, {"headers": headers, "json": WHY}),
    ]
    for method, path, status, asked in cases:
        answer = await gate.call(method, API + path, **asked)
        assert answer.status == status, (path, await answer.text())
        await found.check(method, path, answer)
    gate.clock.advance(301)
    answer = await gate.call("POST", f"{API}bans", headers=headers, json=ban)
    problem = await found.check("POST", "bans", answer)
    assert (answer.status, problem["type"]) == (401, "urn:gatekeeper:step-up-required")
