"""The panel's calls as ``P/openapi.json`` describes them (OpenAPI 3.1). Merged in by ``gatekeeper.app.applications``.

A test holds them against the routes and against real answers. Shapes are said in words: ``text``, ``number``, ``flag``,
``any``, with ``?`` where it may be null, a list of one shape, or a mapping of names to shapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from policies.scopes import ADMIN_ACT, ADMIN_READ

Shape = Any
_TYPES: Final = {"text": "string", "number": "number", "flag": "boolean", "any": "object"}

_ATTEMPT: Final = {
    **dict.fromkeys(("id", "time", "email", "result", "address", "request_id"), "text"),
    **dict.fromkeys(("user_id", "reason", "method", "factor", "country", "asn", "session"), "anything"),
    "signals": ["text"],
}
_PAST: Final = {"lifted": "text?", "lifted_by": "text?"}
_BAN: Final = {
    **dict.fromkeys(("subject", "kind", "source", "reason", "by", "since"), "text"),
    **dict.fromkeys(("label", "until"), "text?"),
}
_CHANGE: Final = {
    "id": "number",
    **dict.fromkeys(("time", "actor", "action", "subject"), "text"),
    **dict.fromkeys(("actor_email", "subject_email", "address", "request_id"), "text?"),
    **dict.fromkeys(("before", "after"), "any?"),
}
_SESSION: Final = {
    **dict.fromkeys(("id", "user_id", "email", "started_at", "expires_at", "address", "device", "user_agent"), "text"),
    **dict.fromkeys(("seen_at", "refreshed_at", "acr", "proved_at", "second_factor_at", "country"), "text?"),
    "amr": ["text"],
    "connections": "number",
}
_USER: Final = {
    **dict.fromkeys(("id", "email", "created_at"), "text"),
    **dict.fromkeys(("email_verified", "locked"), "flag"),
    "name": "text?",
    "roles": ["text"],
}
_EVENT: Final = {"time": "text", "kind": "text"}
_KEY: Final = dict.fromkeys(("kid", "purpose", "algorithm", "state", "created_at", "signs_from"), "text")
_LIMIT: Final = {"name": "text", "amount": "number", "window": "number", "by": "text", "most": ["any"]}
_RULE: Final = {"number": "number", "name": "text", "report_only": "flag", "hits": "any?", "last_hit": "text?"}
_TRIAL: Final = {"good": "flag", "faults": ["any"], "warnings": ["any"], "changed": ["text"], "restart": ["text"]}
_VERIFIED: Final = {
    "unchanged": "flag",
    "faults": ["text"],
    **dict.fromkeys(("entries", "seals", "waiting"), "number"),
    "remembered": "flag",
    "newest": "any?",
}
_NEXT: Final = {"next": "anything"}
_PLACES: Final = {"since": "text", "until": "text", "complete": "flag", "unplaced": "number", "places": ["any"]}


@dataclass(frozen=True, slots=True)
class Call:
    """One call under ``P/admin/api``: what its scope is, its query or body (strings; those with ``?`` may be left out),
    and what it answers; without an ``answer`` its ``media_type`` says all.
    """

    method: str
    path: str
    summary: str
    answer: Shape = None
    asks: tuple[str, ...] = ()
    scope: str = ADMIN_READ
    media_type: str = "application/json"


def _act(path: str, summary: str, *asks: str, method: str = "post", **done: Shape) -> Call:
    return Call(method, path, summary, {"done": "text", **done}, asks, ADMIN_ACT)


_LOGINS: Final = tuple(
    f"{name}?"
    for name in ("user", "result", "reason", "address", "country", "device", "signal", "range", "since", "until")
)
CALLS: Final = (
    Call("get", "overview", "What happens now, and the sums of the last day", {"now": "any", "last_24h": "any"}),
    Call("get", "signals", "Open signals", {"total": "number", "signals": ["any"]}),
    Call("get", "logins", "Attempts to log in, newest first", {"logins": [_ATTEMPT], **_NEXT}, (*_LOGINS, "after?")),
    Call("get", "logins.csv", "The same, all of them, as CSV", None, _LOGINS, media_type="text/csv"),
    Call("get", "logins.jsonl", "The same, all of them, as JSON lines", None, _LOGINS, media_type="application/jsonl"),
    Call("get", "map", "Attempts by place", _PLACES, ("range?", "at?")),
    Call(
        "get",
        "sessions",
        "Open sessions, newest first",
        {"sessions": [_SESSION], **_NEXT},
        ("user?", "agent?", "after?"),
    ),
    Call("get", "sessions/{session}", "One session, living or not", _SESSION),
    Call("get", "users", "Accounts, newest first", {"users": [_USER], **_NEXT}, ("text?", "role?", "state?", "after?")),
    Call("get", "users/{user}", "One account with what it has", {**_USER, "sessions": ["any"], "api_keys": ["any"]}),
    Call(
        "get", "users/{user}/story", "What happened to an account", {"events": [_EVENT], **_NEXT}, ("kind?", "after?")
    ),
    Call("get", "bans", "Bans in force, newest first", {"bans": [_BAN], **_NEXT}, ("after?",)),
    Call("get", "bans/ended", "Bans that are over, the latest ending first", {"bans": [_BAN | _PAST], **_NEXT}),
    Call("get", "bans/history", "The bans of exactly one subject", {"bans": [_BAN | _PAST]}, ("subject",)),
    Call("get", "limits", "Who uses up most of each limit", {"limits": [_LIMIT], "whole": "flag"}),
    Call("get", "rules", "The rules in force with their hits", {"rules": [_RULE], **_NEXT}, ("find?", "after?")),
    Call("get", "rules/explain", "Which rule would decide", {"allowed": "flag", "rules": ["any"]}, ("url", "method?")),
    Call("post", "rules/check", "What a configuration would change; changes nothing", _TRIAL, ("text",)),
    Call("get", "activity", "The audit log, newest first", {"changes": [_CHANGE], **_NEXT}, ("action?", "after?")),
    Call("get", "activity/live", "The newest events, oldest first", {"events": ["any"]}),
    Call("get", "activity/stream", "Events as they happen", None, ("after?",), media_type="text/event-stream"),
    Call("get", "activity/{change}", "One change, and whether it is sealed", {**_CHANGE, "sealed": "any"}),
    Call("post", "activity/verify", "Whether anybody changed the audit log", _VERIFIED),
    Call("get", "keys", "Signing keys", {"keys": [_KEY]}),
    Call("get", "config", "The configuration in force, masked", {"version": "text", "settings": ["any"]}),
    _act("sessions/{session}", "End a session", "why?", method="delete", id="text"),
    _act("sessions/end", "End every session of a filter", "user?", "address?", "country?", "why", ended="number"),
    _act("logins/{attempt}/trust", "Trust the device of an attempt", "why", id="text"),
    _act("users", "Make an account", "email", "password?", "name?", "roles?", "must_change?", "why", id="text"),
    _act("users/invite", "Invite somebody", "email", "roles?", email="text", link="text"),
    _act("users/{user}/{act}", "lock, unlock, logout, roles, ... an account", "why", "roles?", id="text"),
    _act("signals/{attempt}/{act}", "end, lock, ban or close an open signal", "why?", "sure?", subject="text"),
    _act("bans", "Ban somebody", "subject", "length?", "why", "sure?", ban=_BAN),
    _act("bans/lift", "Lift the ban of exactly this subject", "subject", ban=_BAN),
    _act("bans/import", "Put a list of bans in force as a whole", "list", "length?", "why", "sure?", bans="number"),
    _act("rules/reload", "Have the configuration read again", "why"),
    _act("keys/rotate", "Publish a new signing key", "purpose?", "why", kid="text"),
    _act("keys/retire", "Retire a signing key", "kid", "why", kid="text"),
)


def described(prefix: str) -> dict[str, dict[str, Any]]:
    """The paths of all calls."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(f"{prefix}/admin/api/{call.path}", {})[call.method] = _described(call)
    return paths


def schema_of(shape: Shape) -> dict[str, Any]:
    """A shape as JSON Schema."""
    if isinstance(shape, dict):
        members = {name: schema_of(one) for name, one in shape.items()}
        return {"type": "object", "required": list(shape), "properties": members}
    if isinstance(shape, list):
        return {"type": "array", "items": schema_of(shape[0])}
    if shape == "anything":
        return {}
    kind = _TYPES[shape.removesuffix("?")]
    return {"type": [kind, "null"] if shape.endswith("?") else kind}


def _described(call: Call) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    schema = {} if call.answer is None else {"schema": schema_of(call.answer)}
    entry: dict[str, Any] = {
        "summary": call.summary,
        "description": f"API keys need the scope {call.scope}.",
        "security": [{"bearer": []}, {"apiKey": []}],
        "responses": {
            "200": {"description": call.summary, "content": {call.media_type: schema}},
            **{str(status): {"description": "Refused", "content": problem} for status in (401, 403, 404, 422)},
        },
    }
    where = [(name, "path", True) for name in re.findall(r"\{(\w+)\}", call.path)]
    fields = {name.removesuffix("?"): not name.endswith("?") for name in call.asks}
    if call.method == "get":
        where += [(name, "query", wanted) for name, wanted in fields.items()]
    elif fields:
        members = {name: {"type": "string"} for name in fields}
        required = [name for name, wanted in fields.items() if wanted]
        body = {"type": "object", "required": required, "properties": members}
        entry["requestBody"] = {"content": {"application/json": {"schema": body}}}
    if where:
        entry["parameters"] = [
            {"name": name, "in": place, "required": wanted, "schema": {"type": "string"}}
            for name, place, wanted in where
        ]
    return entry
