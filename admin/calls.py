"""Calls under ``P/admin/api``, each declared once, at the method of a view that answers it: ``admin.app`` makes the
routes from these declarations and ``admin.operations`` the OpenAPI document, and requests are read by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from admin.acts import Act
from admin.bodies.common import Body, Done, Query
from admin.guard import View, Visit
from gatekeeper.answers import json_answer, problem
from gatekeeper.errors import Problem
from gatekeeper.identity.bodies import faults
from policies.model import Reason
from policies.scopes import ADMIN_ACT, ADMIN_READ

Method = Literal["GET", "POST", "PATCH", "DELETE"]
JSON: Final = "application/json"
_MARK: Final = "calls"
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its path below ``P/admin/api``, the scope that an API key needs, what its query and body may hold, and
    the type of its answer; None where its ``media_type`` says all. ``by_act``: it is answered by an Act, else by a
    View; ``form`` is the path below ``P/admin`` of the form that does the same. ``background``: it keeps nobody in the
    panel.
    """

    method: Method
    path: str
    summary: str
    scope: str = ADMIN_READ
    query: type[Query] = Query
    body: type[Body] | None = None
    answer: Any = None
    media_type: str = JSON
    refusals: tuple[int, ...] = ()
    by_act: bool = False
    form: str | None = None
    background: bool = False

    @property
    def place(self) -> tuple[tuple[bool, str], ...]:
        """Sorts paths so that what is named comes before what may be anything."""
        return tuple((part.startswith("{"), part) for part in self.path.split("/"))


@dataclass(frozen=True, slots=True)
class Answered:
    """A call with what answers it."""

    call: Call
    by: Any


class _More(TypedDict, total=False):
    """Fields of Call that are seldom said."""

    method: Method
    query: type[Query]
    media_type: str
    refusals: tuple[int, ...]
    by_act: bool
    form: str | None
    background: bool


def reads(
    path: str, summary: str, answer: Any = None, *, body: type[Body] | None = None, **more: Unpack[_More]
) -> Callable[[_Function], _Function]:
    """Declares a View as the answer to GET ``path``; ``more`` are fields of Call."""
    fields: _More = {"method": "GET", **more}
    return _declares(Call(path=path, summary=summary, answer=answer, body=body, **fields))


def acts(
    path: str, summary: str, body: type[Body], answer: Any = Done, **more: Unpack[_More]
) -> Callable[[_Function], _Function]:
    """Declares an Act as the answer to POST ``path``, of the call and of the form; ``more`` are fields of Call."""
    fields: _More = {"method": "POST", "by_act": True, "form": path, **more}
    return _declares(Call(path=path, summary=summary, scope=ADMIN_ACT, body=body, answer=answer, **fields))


def _declares(call: Call) -> Callable[[_Function], _Function]:
    def mark(function: _Function) -> _Function:
        function.__dict__.setdefault(_MARK, []).append(call)
        return function

    return mark


def calls_of(views: Iterable[object]) -> list[Answered]:
    """All that the methods of these views declare, in the order in which a router may try them."""
    found = [
        Answered(call, getattr(view, name))
        for view in views
        for name, member in vars(type(view)).items()
        for call in getattr(member, _MARK, ())
    ]
    return sorted(found, key=lambda one: (one.call.place, one.call.method))


def asked_well(call: Call, view: View) -> View:
    """``view`` for requests whose query holds nothing that the call does not know. Raises Problem (422)."""

    async def handle(request: web.Request, visit: Visit) -> web.StreamResponse:
        _check_query(call, request.query)
        return await view(request, visit)

    return handle


def done_by(call: Call, act: Act) -> View:
    """``act`` with the fields of the call's body, which is read strictly. Raises Problem (400, 415, 422)."""

    async def handle(request: web.Request, visit: Visit) -> web.Response:
        _check_query(call, request.query)
        done = await act(request, visit, await _fields(request, call.body or Body))
        return json_answer({"done": done.notice, **done.facts})

    return handle


def unanswered(calls: Iterable[Call], document: str) -> View:
    """Answers below ``api`` where no call is: 405 with those methods that are there (RFC 9110 15.5.6), else 404.
    ``document`` is the path of what describes them.
    """
    listed = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(call.path))), call.method) for call in calls]

    async def handle(request: web.Request, _visit: Visit) -> web.Response:
        path = request.match_info["call"]
        methods = ", ".join(sorted({method for pattern, method in listed if pattern.fullmatch(path)}))
        if not methods:
            raise Problem(404, Reason.NOT_FOUND, f"There is no such call; {document} has them all.")
        answer = problem(Reason.METHOD_NOT_ALLOWED, detail=f"This takes {methods}.")
        answer.headers["Allow"] = methods
        return answer

    return handle


def _check_query(call: Call, query: Mapping[str, str]) -> None:
    names = [name for name, _ in query.items()]
    given = {name: value for name, value in query.items() if value.strip()}
    twice = {name for name in names if names.count(name) > 1}
    try:
        call.query.model_validate(given)
        errors = [{"pointer": f"/{name[:100]}", "detail": "is given more than once"} for name in sorted(twice)]
    except ValidationError as fault:
        errors = _faults(fault, call.query)
    if errors:
        raise Problem(422, Reason.VALIDATION, "The query has errors.", errors=errors)


async def _fields(request: web.Request, model: type[Body]) -> Mapping[str, str]:
    raw = await request.read()  # bounded by the application
    if not raw:
        raw = b"{}"  # what is missing is said by its name
    elif request.content_type != JSON:
        raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Problem(400, Reason.VALIDATION, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(422, Reason.VALIDATION, "The body is not an object.")
    try:
        return model.model_validate(body).fields()
    except ValidationError as fault:
        raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=_faults(fault, model)) from None


def _faults(error: ValidationError, model: type[BaseModel]) -> list[dict[str, str]]:
    """What is wrong with which field; where one is not known, with those that are."""
    known = ", ".join(sorted(model.model_fields)) or "none"
    unknown = {f"/{one['loc'][0]}"[:100] for one in error.errors() if one["type"] == "extra_forbidden"}
    return [
        {**one, "detail": f"is not known here; known are: {known}"} if one["pointer"] in unknown else one
        for one in faults(error)
    ]
