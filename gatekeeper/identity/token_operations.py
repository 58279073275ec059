"""Introspection and revocation, for ``openapi``."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from gatekeeper.identity.bodies import Body
from gatekeeper.identity.operation import Operation


class TokenForm(Body):
    """The form of RFC 7662 2.1 and RFC 7009 2.1."""

    token: str
    token_type_hint: str | None = None


class IntrospectionAnswer(Body):
    """RFC 7662 2.2; of a token that is worth nothing only ``active``. Times are Unix seconds."""

    active: bool
    token_type: Annotated[str | None, Field(examples=["Bearer", "refresh_token"])] = None
    iss: str | None = None
    aud: str | list[str] | None = None
    sub: str | None = None
    username: str | None = None
    email: str | None = None
    email_verified: bool | None = None
    roles: list[str] | None = None
    sid: str | None = None
    jti: str | None = None
    iat: int | None = None
    nbf: int | None = None
    exp: int | None = None
    acr: str | None = None
    amr: list[str] | None = None
    auth_time: int | None = None


_REFUSALS: Final = (400, 401, 403, 413, 415, 422)
TOKEN_OPERATIONS: Final = (
    Operation(
        "post",
        "/auth/introspect",
        "What a token is worth, for callers with an API key of scope introspect (RFC 7662)",
        {200: IntrospectionAnswer},
        TokenForm,
        secured=True,
        refusals=_REFUSALS,
        form=True,
    ),
    Operation(
        "post",
        "/auth/revoke",
        "End a token, for callers with an API key of scope revoke (RFC 7009)",
        {200: None},
        TokenForm,
        secured=True,
        refusals=_REFUSALS,
        form=True,
    ),
)
