"""The part of ``tokens`` about other issuers, whose access tokens are taken beside the gate's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gatekeeper.config.forms import check_called_url
from gatekeeper.config.section import Section

#: Asymmetric ones only: who could check a symmetric one could also make it.
Algorithm = Literal["EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
_USUAL: list[Algorithm] = ["EdDSA", "ES256", "RS256"]


def _check_issuer(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("an issuer is printable ASCII without blanks, exactly as `iss` has it")
    return value


def _check_jwks(value: str) -> str:
    return check_called_url(value) if "://" in value else value


Issuer = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_check_issuer)]
ClaimName = Annotated[str, Field(min_length=1, max_length=255)]


class ClaimNames(Section):
    """Which claims say what. A name with dots that is no claim itself leads into objects: `realm_access.roles`."""

    subject: ClaimName = Field("sub", description="Becomes X-Gate-Subject; must be there as text.")
    id: ClaimName = Field(
        "jti", description="Names the token, for its revocation; must be there as text. Microsoft Entra calls it `uti`."
    )
    roles: ClaimName | None = Field(
        None, description="A list, or words of one text: the roles that rules ask for; not set: none."
    )
    email: ClaimName | None = Field(
        None, description="Becomes X-Gate-User, and counts for rules where `email_verified` is true; not set: none."
    )


class AcceptedIssuer(Section):
    """An issuer whose access tokens are taken, as `Authorization: Bearer`."""

    issuer: Issuer = Field(description="Exactly as `iss` has it.")
    jwks: Annotated[str, Field(min_length=1), AfterValidator(_check_jwks)] = Field(
        description="Its public keys (RFC 7517): a file, or an https address (http, and private ones, where"
        " notify.allow_private lists the network). Read at the start, every 5 minutes, and at an unknown `kid`, at most"
        " once a minute."
    )
    audiences: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        min_length=1, description="One of them must be in the token's `aud`."
    )
    algorithms: list[Algorithm] = Field(
        _USUAL, min_length=1, description="What its keys may sign with; a key has one algorithm, whatever a token says."
    )
    claims: ClaimNames = Field(default_factory=ClaimNames, description="Which claims say who somebody is.")
