"""The section ``api_keys`` of config.yaml. Part of ``config.model``; read by ``gatekeeper.app.api_keys``."""

from __future__ import annotations

from pydantic import Field, field_validator

from gatekeeper.config.section import Section
from gatekeeper.config.types import Duration, OneOrMore, ScopeName

_ADMINS_ONLY = frozenset({"admin:read", "admin:act"})


class ApiKeys(Section):
    """API keys of users, for programs."""

    scopes: dict[ScopeName, OneOrMore] = Field(
        {},
        description=(
            "Names of scopes that users may give their own keys: `authenticated`, or a list of roles. Any other name"
            " only an admin or `gatekeeper api-key add` gives; paths such as /reports/** need no entry."
        ),
    )
    per_user: int = Field(50, ge=0, le=1000, description="Most keys of one user that are good; 0: none are made.")
    max_ttl: Duration | None = Field(None, description="Longest life of a new key; not set: any, also without an end.")
    rotation_overlap: Duration = Field(86_400.0, description="How long a rotated key goes on, unless asked otherwise.")

    @field_validator("scopes")
    @classmethod
    def _admins_only(cls, scopes: dict[str, list[str]]) -> dict[str, list[str]]:
        for name in sorted(_ADMINS_ONLY & scopes.keys()):
            raise ValueError(f"{name} is for admins, who need no entry here")
        return scopes
