"""The JSON bodies of ``P/auth/api-keys``. Read strictly, as in ``bodies``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gatekeeper.identity.api_keys import LONGEST_NAME, MOST_NETWORKS
from gatekeeper.identity.bodies import Body, Name
from policies.scopes import LONGEST, MOST

KeyName = Annotated[Name, Field(max_length=LONGEST_NAME, examples=["nightly reports"])]
Scope = Annotated[str, Field(min_length=1, max_length=LONGEST, examples=["GET /reports/**"])]
NetworkText = Annotated[str, Field(min_length=1, max_length=50, examples=["192.0.2.0/24"])]
Moment = Annotated[str, Field(min_length=1, max_length=40, examples=["2030-01-01T00:00:00Z"])]


class NewApiKeyBody(Body):
    """POST ``api-keys``. A scope is a name, a path, or a method and a path; ``expires_at`` is RFC 3339."""

    name: KeyName
    scopes: Annotated[list[Scope], Field(max_length=MOST)]
    networks: Annotated[list[NetworkText], Field(default_factory=list, max_length=MOST_NETWORKS)]
    expires_at: Moment | None = None


class RotateApiKeyBody(Body):
    """POST ``api-keys/{id}/rotate``: for how many seconds the old key goes on."""

    overlap: Annotated[int, Field(ge=0, le=30 * 86_400)] | None = None


class ApiKeyAnswer(Body):
    """A key as its owner sees it; times are RFC 3339, UTC. ``start`` is how the key begins.

    ``last_used_at`` comes some seconds late; ``successor`` is the key that took its place.
    """

    id: str
    name: str
    start: str
    scopes: list[str]
    networks: list[str]
    created_at: str
    expires_at: str | None
    expired: bool
    last_used_at: str | None
    last_used_from: str | None
    successor: str | None


class ApiKeysAnswer(Body):
    """GET ``api-keys``."""

    api_keys: list[ApiKeyAnswer]


class NewApiKeyAnswer(ApiKeyAnswer):
    """The same with the key itself, which cannot be shown again."""

    key: str = Field(repr=False)
