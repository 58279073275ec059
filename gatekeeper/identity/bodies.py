"""The JSON bodies of ``P/auth``: pydantic models, read strictly, and the OpenAPI source of truth."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import LONGEST_NAME
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.passwords import LONGEST
from policies.model import Reason

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_Body = TypeVar("_Body", bound=BaseModel)


def _canonical(text: str) -> str:
    try:
        return canonical_email(text)
    except InvalidEmail as fault:
        raise PydanticCustomError("email", "{why}", {"why": str(fault)}) from None


def _name(text: str) -> str:
    if _CONTROL.search(text) or not text.strip():
        raise PydanticCustomError("name", "must be visible text on one line")
    return text.strip()


Email = Annotated[str, Field(max_length=320, examples=["you@example.com"]), AfterValidator(_canonical)]
TypedEmail = Annotated[str, Field(min_length=1, max_length=320, examples=["you@example.com"])]
Password = Annotated[str, Field(min_length=1, max_length=LONGEST, examples=["correct horse battery 9"])]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_name)]


class Body(BaseModel):
    """Strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class RegisterBody(Body):
    """POST ``register``. ``invite`` is the token of an invitation's link."""

    email: Email
    password: Password = Field(repr=False)
    name: Name | None = None
    invite: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, repr=False)


class LoginBody(Body):
    """POST ``login``. The e-mail is taken as typed: a malformed one is simply unknown."""

    email: TypedEmail
    password: Password = Field(repr=False)
    cookies: bool = False


class RefreshBody(Body):
    """POST ``refresh``; without a token the cookie is meant."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(None, repr=False)


class LogoutBody(Body):
    """POST ``logout``."""

    scope: Literal["this", "others", "all"] = "this"


class ChangePasswordBody(Body):
    """POST ``password/change``."""

    current_password: Password = Field(repr=False)
    new_password: Password = Field(repr=False)


class UserAnswer(Body):
    """A user, as its owner sees it."""

    id: str
    email: str
    email_verified: bool
    name: str | None
    roles: list[str]


class TokenAnswer(Body):
    """What login and refresh answer; with cookies the tokens are absent from the body. Lives in seconds.

    ``must_enrol`` is there only where the session reaches nothing but the adding of a second factor.
    """

    token_type: Literal["Bearer"] = "Bearer"  # the type's name, not a token
    access_token: str | None = None
    expires_in: int
    refresh_token: str | None = None
    refresh_expires_in: int
    session_id: str
    user: UserAnswer
    must_enrol: bool = False


class SessionAnswer(Body):
    """One session in a list; times are RFC 3339, UTC."""

    id: str
    current: bool
    started_at: str
    expires_at: str
    address: str
    country: str | None
    user_agent: str
    amr: list[str]


class WhoAmI(Body):
    """GET ``session``; times are RFC 3339, UTC."""

    session_id: str
    user: UserAnswer
    acr: str
    amr: list[str]
    auth_time: str
    expires_at: str


def invalid(pointer: str, detail: str) -> Problem:
    """422 for one field."""
    return Problem(422, Reason.VALIDATION, "The body has errors.", errors=[{"pointer": pointer, "detail": detail}])


async def read_body(request: web.Request, model: type[_Body], limit: int, *, empty: bool = False) -> _Body:
    """The request's JSON body as ``model``. Raises Problem (400, 413, 415, 422) naming every field at fault.

    ``empty`` takes an empty body as ``{}``, then without a Content-Type too. The deadline of a stalled body is
    the connection's (``gatekeeper.server``).
    """
    raw = await read_whole(request, limit)
    if empty and not raw:
        raw = b"{}"
    elif request.content_type != "application/json":
        raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json.")
    try:
        data: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Problem(400, Reason.VALIDATION, "The body is not JSON in UTF-8.") from None
    try:
        return model.model_validate(data)
    except ValidationError as fault:
        raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=faults(fault)) from None


def faults(error: ValidationError) -> list[dict[str, str]]:
    """What is wrong with which field, for the ``errors`` of a problem; no value is among it."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [{"pointer": _pointer(one["loc"]), "detail": _sentence(one["type"], one["msg"])} for one in found[:50]]


async def read_whole(request: web.Request, limit: int) -> bytes:
    """The body, of at most ``limit`` bytes. Raises Problem (400, 413)."""
    if request.content_length is not None and request.content_length > limit:
        raise Problem(413, Reason.TOO_LARGE, f"The body may have at most {limit} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.content.iter_any():
            size += len(part)
            if size > limit:
                raise Problem(413, Reason.TOO_LARGE, f"The body may have at most {limit} bytes.")
            parts.append(part)
    except (web.HTTPRequestEntityTooLarge, asyncio.IncompleteReadError):
        raise Problem(400, Reason.VALIDATION, "The body broke off.") from None
    return b"".join(parts)


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:100] for part in location)


def _sentence(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field here"
        case _:
            return message[:1].lower() + message[1:]
