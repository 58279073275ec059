"""The panel's calls as ``P/openapi.json`` describes them (OpenAPI 3.1), out of their declarations (``admin.calls``).
Merged in by ``gatekeeper.app.applications``; a test holds real answers and refusals against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from admin.calls import JSON, Call

_REFUSED: Final = {
    400: "The body is not JSON",
    401: "No credentials, bad ones, or ones of a login that is too long ago (RFC 9470)",
    403: "An API key without this scope, an auditor who would act, or a browser on another site",
    404: "Not an admin's credentials, or nothing by this name",
    409: "As things stand this cannot be done",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "Fields that are missing, unknown or wrong, each in `errors`",
    429: "Too often; `retry_after` says when again",
    503: "A store, or what this needs, is busy or away",
}
_ALWAYS: Final = (401, 403, 404, 422, 503)
_WITH_BODY: Final = (400, 413, 415)
_IN_PATH: Final[Mapping[str, Mapping[str, str]]] = {
    "user": {"description": "An account's id", "format": "uuid"},
    "attempt": {"description": "The id of an attempt to log in", "format": "uuid"},
    "session": {"description": "A session's id"},
    "change": {"description": "The number of an entry of the audit log", "pattern": "^[0-9]{1,18}$"},
    "rule": {"description": "A rule's name"},
}


def described(prefix: str, calls: Iterable[Call]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The paths of these calls, and the components (schemas and responses by name) that they refer to."""
    listed = list(calls)
    if not listed:
        return {}, {}
    schemas, definitions = _schemas(tuple({kind for call in listed for kind in _kinds(call)}))
    paths: dict[str, dict[str, Any]] = {}
    for call in listed:
        entry = paths.setdefault(f"{prefix}/admin/api/{call.path}", {})
        entry[call.method.lower()] = _described(call, schemas)
    statuses = sorted({status for call in listed for status in _statuses(call)})
    responses = {_name(status): _refused(status) for status in statuses}
    return paths, {"schemas": definitions, "responses": responses}


def _kinds(call: Call) -> list[tuple[Any, JsonSchemaMode]]:
    answer: list[tuple[Any, JsonSchemaMode]] = [] if call.answer is None else [(call.answer, "serialization")]
    return answer if call.body is None else [*answer, (call.body, "validation")]


@cache
def _schemas(kinds: tuple[tuple[Any, JsonSchemaMode], ...]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Of bodies and answers; the same for every gate."""
    found, rest = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in kinds], ref_template="#/components/schemas/{model}"
    )
    return {kind: schema for (kind, _), schema in found.items()}, rest["$defs"]


def _described(call: Call, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    content = {} if call.answer is None else {"schema": schemas[call.answer]}
    entry: dict[str, Any] = {
        "operationId": _operation_id(call),
        "tags": ["panel"],
        "summary": call.summary,
        "description": f"API keys need the scope `{call.scope}`.",
        "security": [{"bearer": []}, {"apiKey": []}],
        "responses": {
            "200": {"description": call.summary, "content": {call.media_type: content}},
            **{str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in _statuses(call)},
        },
    }
    if call.body is not None:
        needed = bool(call.body.model_json_schema().get("required"))
        entry["requestBody"] = {"required": needed, "content": {JSON: {"schema": schemas[call.body]}}}
    parameters = [*_in_path(call), *_in_query(call)]
    return {**entry, "parameters": parameters} if parameters else entry


def _operation_id(call: Call) -> str:
    """Such as ``panel_get_users_user``; unlike any other, and fit for the name of a function."""
    return re.sub(r"\W+", "_", f"panel_{call.method.lower()}_{call.path}").strip("_")


def _statuses(call: Call) -> list[int]:
    return sorted({*_ALWAYS, *call.refusals, *(() if call.body is None else _WITH_BODY)})


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _refused(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _REFUSED[status], "content": {"application/problem+json": {"schema": schema}}}


def _in_path(call: Call) -> list[dict[str, Any]]:
    return [
        _parameter(name, {"type": "string", **_IN_PATH.get(name, {})}, place="path", needed=True)
        for name in re.findall(r"\{(\w+)\}", call.path)
    ]


def _in_query(call: Call) -> list[dict[str, Any]]:
    schema = call.query.model_json_schema()
    needed = schema.get("required", [])
    return [
        _parameter(name, _resolved(one, schema.get("$defs", {})), needed=name in needed)
        for name, one in schema.get("properties", {}).items()
    ]


def _parameter(name: str, schema: dict[str, Any], *, needed: bool, place: str = "query") -> dict[str, Any]:
    said = {"description": schema.pop("description")} if "description" in schema else {}
    schema.pop("title", None)
    return {"name": name, "in": place, "required": needed, **said, "schema": schema}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Without null, which no query can say, and without references."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != {"type": "null"}]
    kind = definitions[kinds[0]["$ref"].rpartition("/")[2]] if "$ref" in kinds[0] else kinds[0]
    described = {name: schema[name] for name in ("description", "examples") if name in schema}
    return {name: value for name, value in {**kind, **described}.items() if name not in {"title", "default"}}
