"""How the gate itself answers: problem+json (RFC 9457), JSON, and the headers of its own pages.

Used by surfaces, identity, pages and admin, so that every refusal looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web

from gatekeeper.errors import Problem
from policies.model import Reason, StepUp

#: Status of a refusal at the proxy; the nginx surface narrows it.
STATUS: Mapping[Reason, int] = MappingProxyType(
    {
        Reason.CREDENTIALS_MISSING: 401,
        Reason.TOKEN_INVALID: 401,
        Reason.TOKEN_EXPIRED: 401,
        Reason.SESSION_ENDED: 401,
        Reason.REFRESH_INVALID: 401,
        Reason.REFRESH_REUSED: 401,
        Reason.INVALID_CREDENTIALS: 401,
        Reason.MFA_REQUIRED: 401,
        Reason.MFA_INVALID: 401,
        Reason.PASSWORD_CHANGE_REQUIRED: 401,
        Reason.STEP_UP_REQUIRED: 401,
        Reason.OTP_INVALID: 401,
        Reason.OTP_EXPIRED: 401,
        Reason.BINDING_MISMATCH: 401,
        Reason.EMAIL_TAKEN: 409,
        Reason.EMAIL_UNVERIFIED: 403,
        Reason.REGISTRATION_CLOSED: 403,
        Reason.NO_RULE: 403,
        Reason.RULE_DENIED: 403,
        Reason.BANNED: 403,
        Reason.CSRF: 403,
        Reason.ORIGIN_DENIED: 403,
        Reason.UNTRUSTED_PROXY: 403,
        Reason.RATE_LIMITED: 429,
        Reason.BUSY: 503,
        Reason.BAD_TARGET: 400,
        Reason.UNKNOWN_HOST: 421,
        Reason.STORE_UNAVAILABLE: 503,
        Reason.UPSTREAM_UNAVAILABLE: 502,
        Reason.UPSTREAM_TIMEOUT: 504,
        Reason.VALIDATION: 400,
        Reason.NOT_FOUND: 404,
        Reason.METHOD_NOT_ALLOWED: 405,
        Reason.UNSUPPORTED_MEDIA_TYPE: 415,
        Reason.TOO_LARGE: 413,
    }
)

_DETAIL: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CREDENTIALS_MISSING: "This needs a login.",
        Reason.TOKEN_INVALID: "The token is not valid here.",
        Reason.TOKEN_EXPIRED: "The token has expired; refresh it.",
        Reason.SESSION_ENDED: "The session has ended; log in again.",
        Reason.REFRESH_INVALID: "The refresh token is not valid.",
        Reason.REFRESH_REUSED: "The refresh token was used before, so its session has ended; log in again.",
        Reason.MFA_REQUIRED: "This needs a second factor.",
        Reason.STEP_UP_REQUIRED: "This needs a more recent login; confirm that it is you.",
        Reason.BINDING_MISMATCH: "This session belongs to another device or place; confirm that it is you.",
        Reason.NO_RULE: "Nothing here admits this request.",
        Reason.RULE_DENIED: "This account may not do this.",
        Reason.BANNED: "You may not connect at the moment.",
        Reason.CSRF: "A browser may only do this from a page of the same origin.",
        Reason.UNTRUSTED_PROXY: "This may only be asked by a trusted proxy.",
        Reason.UNKNOWN_HOST: "This host is not served here.",
        Reason.BAD_TARGET: "The request target is malformed or ambiguous.",
        Reason.STORE_UNAVAILABLE: "Sessions cannot be checked right now; try again shortly.",
        Reason.UPSTREAM_UNAVAILABLE: "The service behind the gate cannot be reached.",
        Reason.UPSTREAM_TIMEOUT: "The service behind the gate took too long.",
        Reason.NOT_FOUND: "There is nothing at this address.",
    }
)

_HARDENING: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
)

_PAGE: Mapping[str, str] = MappingProxyType(
    {
        **_HARDENING,
        "Content-Security-Policy": (
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        ),
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
)


def page_headers(*, https: bool) -> dict[str, str]:
    """The headers of the gate's own pages (security.md, last section)."""
    hsts = {"Strict-Transport-Security": "max-age=63072000"} if https else {}
    return {**_PAGE, **hsts}


def detail_of(reason: Reason) -> str:
    """One sentence for the client; it never names rules, targets or internals."""
    return _DETAIL.get(reason, "")


def json_answer(body: Any, status: int = 200) -> web.Response:
    """A JSON answer that no cache keeps."""
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status=status,
        content_type="application/json",
        headers=_HARDENING,
    )


def problem(
    reason: Reason, *, status: int | None = None, detail: str = "", extra: Mapping[str, object] | None = None
) -> web.Response:
    """A refusal as problem+json, with X-Gate-Reason, and WWW-Authenticate or Retry-After where they belong."""
    code = STATUS[reason] if status is None else status
    body: dict[str, object] = {"type": f"urn:gatekeeper:{reason}", "title": HTTPStatus(code).phrase, "status": code}
    sentence = detail or detail_of(reason)
    if sentence:
        body["detail"] = sentence
    body.update(extra or {})
    answer = web.Response(
        body=orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status=code,
        content_type="application/problem+json",
        headers=_HARDENING,
    )
    answer.headers["X-Gate-Reason"] = str(reason)
    if code == 401:
        answer.headers["WWW-Authenticate"] = challenge(reason, extra)
    retry_after = body.get("retry_after", 1 if code == 503 else None)
    if isinstance(retry_after, int | float):
        answer.headers["Retry-After"] = str(int(retry_after))
    return answer


def wanted(step_up: StepUp | None) -> dict[str, object]:
    """What a step-up asks for, as members of a problem and parameters of the challenge (RFC 9470 3)."""
    if step_up is None:
        return {}
    age: dict[str, object] = {} if step_up.max_age is None else {"max_age": step_up.max_age}
    return {**age, "acr_values": step_up.acr_values}


def challenge(reason: Reason, extra: Mapping[str, object] | None = None) -> str:
    """WWW-Authenticate (RFC 6750 3): an error only where a token was presented; ``extra`` may hold what ``wanted``
    says, then as RFC 9470 has it.
    """
    if extra is not None and "acr_values" in extra:
        age = f", max_age={extra['max_age']}" if "max_age" in extra else ""
        return f'Bearer error="insufficient_user_authentication"{age}, acr_values="{extra["acr_values"]}"'
    if reason in {Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED, Reason.SESSION_ENDED}:
        return 'Bearer error="invalid_token"'
    return "Bearer"


def say(fault: Problem) -> web.Response:
    """A raised Problem as an answer."""
    return problem(fault.reason, status=fault.status, detail=fault.detail, extra=fault.extra)
