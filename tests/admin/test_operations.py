"""admin/calls.py, admin/operations.py: every call of the panel is declared once, P/openapi.json has it, and answers and
refusals are as it says (issue 7.10).
"""

import json

from gates import bearer
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

API = "/_gate/admin/api/"
_STREAM = f"{API}activity/stream"


def _strict(schema):
    """The same, but that an object has no member that the schema does not name."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _strict(one) for name, one in schema.items()}
    if "properties" in schema and "type" in schema:
        found["additionalProperties"] = False
    return found


class Described:
    """The document, and what it says of a call's answers."""

    def __init__(self, document):
        self.document = document
        schemas = document["components"]["schemas"]
        self._schemas = {**_strict(schemas), "Problem": schemas["Problem"]}

    def calls(self):
        return {
            (method.upper(), path): entry
            for path, methods in self.document["paths"].items()
            if path.startswith(API)
            for method, entry in methods.items()
        }

    def check(self, entry, status, media_type, body):
        """Fails where an answer is none that the entry of a call knows."""
        content = entry["responses"][str(status)]["content"]
        assert list(content) == [media_type]
        if "schema" in content[media_type]:
            schema = {**content[media_type]["schema"], "components": {"schemas": self._schemas}}
            Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(json.loads(body))


async def described(gate):
    answer = await gate.call("GET", "/_gate/openapi.json")
    return Described(json.loads(await answer.text()))


async def test_the_document_is_openapi_and_has_exactly_the_routes(gate):
    found = await described(gate)
    validate(found.document)
    routes = {
        (route.method, route.resource.canonical)
        for route in gate.gatekeeper.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(API) and route.method != "HEAD"
    }
    assert set(found.calls()) == routes
    assert found.document["components"]["securitySchemes"]["apiKey"]["name"] == "X-Api-Key"


#: Pages whose facts are another call's: a form has none, and a search only leads on.
ELSEWHERE = {
    "": "overview",
    "sessions/end": "sessions/count",
    "users/{user}/devices": "users/{user}",
    "users/new": None,
    "users/invite": None,
    "bans/import": None,
    "search": None,
}


async def test_what_a_page_shows_is_a_call_too(gate):
    found, home = await described(gate), "/_gate/admin/"
    pages = {
        route.resource.canonical.removeprefix(home)
        for route in gate.gatekeeper.app.router.routes()
        if route.method == "GET" and route.resource.canonical.startswith(home)
    }
    assert "logins/{attempt}" in pages
    calls = {path.removeprefix(API) for method, path in found.calls() if method == "GET"}
    calls.add("rules/check")  # a POST: the text is large
    for page in pages:
        wanted = ELSEWHERE.get(page, page)
        assert page.startswith("api/") or wanted is None or wanted in calls, page


async def test_answers_are_as_the_document_says(gate, admin):
    found = await described(gate)
    headers = bearer(await gate.login("root@example.com"))
    ada = (await gate.register("ada@example.com"))["id"]
    session = (await gate.login("ada@example.com"))["session_id"]
    rows = await gate.rows("SELECT id FROM login_logs ORDER BY time LIMIT 1")
    names = {"{user}": ada, "{session}": session, "{change}": "1", "{attempt}": str(rows[0]["id"]), "{rule}": "api"}

    async def ask(method, path, query="", body=None):
        address = path
        for name, value in names.items():
            address = address.replace(name, value)
        answer = await gate.call(method, address + query, headers=headers, json=body)
        text = await answer.text()
        assert answer.status == 200, (path, text)
        found.check(found.calls()[method, path], 200, answer.content_type, text)

    for subject in ("192.0.2.1", "CH"):
        await ask("POST", f"{API}bans", body={"subject": subject, "length": "1h", "why": "x"})
    await ask("POST", f"{API}bans/lift", body={"subject": "CH"})
    await ask("POST", f"{API}bans/import", body={"list": "192.0.2.9", "why": "x"})
    await ask("POST", f"{API}rules/check", body={"text": "listen: [127.0.0.1:1]"})
    await ask("POST", f"{API}activity/verify")
    await ask("POST", f"{API}users/{{user}}/lock", body={"why": "x"})
    queries = {f"{API}bans/history": "?subject=CH", f"{API}rules/explain": "?url=/x"}
    for method, path in found.calls():
        if method == "GET" and path != _STREAM:
            await ask("GET", path, queries.get(path, ""))


WRONG = [
    ("GET", "logins?usr=ada", None, "/usr"),
    ("GET", "logins?result=maybe", None, "/result"),
    ("GET", "logins?country=CHE", None, "/country"),
    ("GET", "users?state=gone", None, "/state"),
    ("GET", "sessions?user=ada&user=root", None, "/user"),
    ("GET", "bans/history", None, "/subject"),
    ("POST", "sessions/end", {"user": "ada", "adress": "192.0.2.1", "why": "x"}, "/adress"),
    ("POST", "bans", {"subject": 7, "why": "x"}, "/subject"),
    ("POST", "keys/rotate", {"purpose": "fun", "why": "x"}, "/purpose"),
    ("POST", "rules/check", {"texts": "x"}, "/text"),
]


async def test_what_a_call_does_not_know_is_refused_by_its_name(gate, admin):
    found = await described(gate)
    headers = bearer(await gate.login("root@example.com"))
    for method, path, body, pointer in WRONG:
        answer = await gate.call(method, f"{API}{path}", headers=headers, json=body)
        text = await answer.text()
        assert answer.status == 422, (path, text)
        assert json.loads(text)["errors"][0]["pointer"] == pointer, text
        found.check(found.calls()[method, API + path.partition("?")[0]], 422, answer.content_type, text)
