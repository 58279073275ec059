"""``P/openapi.json``: OpenAPI 3.1 generated from the body models, so that it cannot drift from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gatekeeper import __version__
from gatekeeper.identity.api_key_operations import API_KEY_OPERATIONS
from gatekeeper.identity.bodies import (
    ChangePasswordBody,
    LoginBody,
    LogoutBody,
    RefreshBody,
    RegisterBody,
    SessionAnswer,
    TokenAnswer,
    UserAnswer,
    WhoAmI,
)
from gatekeeper.identity.factor_operations import FACTOR_OPERATIONS
from gatekeeper.identity.mail_bodies import AskedAnswer
from gatekeeper.identity.mail_operations import MAIL_OPERATIONS
from gatekeeper.identity.operation import Operation
from gatekeeper.identity.token_operations import TOKEN_OPERATIONS
from policies.model import Reason

OPERATIONS = (
    Operation(
        "post",
        "/auth/register",
        "Make an account",
        {201: UserAnswer, 202: AskedAnswer},
        RegisterBody,
        refusals=(403, 409, 422, 429),
    ),
    Operation("post", "/auth/login", "Log in with a password", {200: TokenAnswer}, LoginBody, refusals=(401, 422, 429)),
    Operation("post", "/auth/refresh", "Rotate a refresh token", {200: TokenAnswer}, RefreshBody, refusals=(401, 429)),
    Operation("post", "/auth/logout", "End sessions", {204: None}, LogoutBody, secured=True, refusals=(401,)),
    Operation("get", "/auth/session", "Who am I", {200: WhoAmI}, secured=True, refusals=(401,)),
    Operation("get", "/auth/sessions", "My sessions", {200: SessionAnswer}, secured=True, refusals=(401,)),
    Operation("delete", "/auth/sessions/{sid}", "End one session", {204: None}, secured=True, refusals=(401, 404)),
    Operation(
        "post",
        "/auth/password/change",
        "Change my password; every other session ends",
        {200: UserAnswer},
        ChangePasswordBody,
        secured=True,
        refusals=(401, 422, 429),
    ),
    *MAIL_OPERATIONS,
    *FACTOR_OPERATIONS,
    *API_KEY_OPERATIONS,
    *TOKEN_OPERATIONS,
    Operation("get", "/jwks.json", "Public signing keys (RFC 7517)", {200: None}),
    Operation("get", "/health/live", "Whether the process lives", {200: None}),
    Operation("get", "/health/ready", "Whether it should get requests", {200: None}, refusals=(503,)),
)

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; what a client can act on is beside it",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "enum": [f"urn:gatekeeper:{reason}" for reason in Reason]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "retry_after": {"type": "number", "description": "Seconds"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "The field (RFC 6901)"},
                    "detail": {"type": "string"},
                },
            },
        },
        "challenge": {"type": "string", "description": "What a second factor is shown for"},
        "methods": {"type": "array", "items": {"type": "string"}},
        "token": {"type": "string", "description": "What another password is chosen by"},
        "max_age": {"type": "integer", "description": "Seconds since the login that is wanted (RFC 9470)"},
        "acr_values": {"type": "string"},
    },
}


def document(
    prefix: str, public_url: str, further: Mapping[str, dict[str, Any]], components: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """The OpenAPI document of the gate's own calls, with ``further`` paths and their ``components``."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(f"{prefix}{operation.path}", {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatekeeper", "version": __version__},
        "servers": [{"url": public_url}],
        "paths": {**paths, **further},
        "components": {
            **components,
            "schemas": {**_schemas(), **components.get("schemas", {}), "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }


@cache
def _schemas() -> dict[str, Any]:
    """Of all bodies, by the models' names; the same for every gate."""
    models = {model for operation in OPERATIONS for model in [operation.body, *operation.answers.values()] if model}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _operation(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            **{str(status): _answer(operation, model) for status, model in operation.answers.items()},
            **{str(status): _refusal() for status in operation.refusals},
        },
    }
    if operation.body is not None:
        media_type = "application/x-www-form-urlencoded" if operation.form else "application/json"
        entry["requestBody"] = {"content": {media_type: {"schema": _reference(operation.body)}}}
    if operation.secured:
        entry["security"] = [{"bearer": []}]
    names = re.findall(r"\{(\w+)\}", operation.path)
    if names:
        entry["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return entry


def _answer(operation: Operation, model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {"description": operation.summary}
    schema: dict[str, Any] = _reference(model)
    if operation.path == "/auth/sessions":
        schema = {"type": "object", "properties": {"sessions": {"type": "array", "items": schema}}}
    return {"description": operation.summary, "content": {"application/json": {"schema": schema}}}


def _refusal() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "Refused", "content": {"application/problem+json": {"schema": schema}}}


def _reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
