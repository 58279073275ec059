"""admin/operations.py: P/openapi.json has every call of the panel, and its answers are as it says (issue 7.10)."""

import json

import pytest

from admin.operations import CALLS, schema_of

API = "/_gate/admin/api/"
_KINDS = {"string": str, "number": (int, float), "boolean": bool, "object": dict, "null": type(None)}


def _holds(value, schema, where):
    if "items" in schema:
        assert isinstance(value, list), where
        for one in value:
            _holds(one, schema["items"], f"{where}[]")
    elif "properties" in schema:
        assert set(schema["required"]) <= set(value), where
        for name, one in schema["properties"].items():
            _holds(value[name], one, f"{where}.{name}")
    elif schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, _KINDS[kind]) for kind in kinds), f"{where}: {value!r} is no {kinds}"


def test_shapes_are_json_schema_and_what_differs_is_seen():
    schema = schema_of({"bans": [{"subject": "text", "until": "text?"}], "next": "anything"})
    _holds({"bans": [{"subject": "CH", "until": None, "more": 1}], "next": None}, schema, "")
    for wrong in ({"bans": [{"subject": "CH"}], "next": 1}, {"bans": [{"subject": 1, "until": None}], "next": 1}, {}):
        with pytest.raises(AssertionError):
            _holds(wrong, schema, "")


async def test_the_document_has_exactly_the_routes(gate):
    document = json.loads(await (await gate.call("GET", "/_gate/openapi.json")).text())
    said = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        if path.startswith(API)
        for method in methods
    }
    routes = {
        (route.method, route.resource.canonical)
        for route in gate.gatekeeper.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(API) and route.method != "HEAD"
    }
    assert said == routes
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-Api-Key"


async def test_answers_are_as_the_document_says(gate, admin):
    tokens = await gate.login("root@example.com")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    ada = (await gate.register("ada@example.com"))["id"]
    session = (await gate.login("ada@example.com"))["session_id"]

    async def ask(method, path, query="", body=None):
        call = next(one for one in CALLS if (one.method, one.path) == (method, path))
        address = f"{API}{path.replace('{user}', ada).replace('{session}', session).replace('{act}', 'lock')}{query}"
        answer = await gate.call(method.upper(), address.replace("{change}", "1"), headers=headers, json=body)
        assert answer.status == 200, (path, await answer.text())
        if call.media_type == "application/json":
            _holds(json.loads(await answer.text()), schema_of(call.answer), path)
        else:
            assert answer.content_type == call.media_type

    for subject in ("192.0.2.1", "CH"):
        await ask("post", "bans", body={"subject": subject, "length": "1h", "why": "x"})
    await ask("post", "bans/lift", body={"subject": "CH"})
    await ask("post", "bans/import", body={"list": "192.0.2.9", "why": "x"})
    await ask("post", "rules/check", body={"text": "listen: [127.0.0.1:1]"})
    await ask("post", "activity/verify")
    await ask("post", "users/{user}/{act}", body={"why": "x"})
    queries = {"bans/history": "?subject=CH", "rules/explain": "?url=/x"}
    streams = {"activity/stream"}
    for call in CALLS:
        if call.method == "get" and call.path not in streams:
            await ask("get", call.path, queries.get(call.path, ""))
