"""``/.well-known/oauth-authorization-server`` (RFC 8414): where those who take the gate's tokens find what they need.

The gate has no OAuth flows of its own, so no grant types and no token endpoint: people log in by ``P/auth``.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.inbound import WELL_KNOWN

CACHED = 3600  # seconds that others may keep it


class Metadata:
    """The handler; ``issuer`` is ``public_url``, as ``iss`` has it."""

    def __init__(self, issuer: str, prefix: str) -> None:
        self._document = metadata(issuer, prefix)

    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.get(WELL_KNOWN, self.show)]

    async def show(self, _request: web.Request) -> web.Response:
        """GET: the document, which pages of any origin may read, as it is for everybody."""
        answer = json_answer(self._document)
        answer.headers["Cache-Control"] = f"public, max-age={CACHED}"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer


def metadata(issuer: str, prefix: str) -> dict[str, Any]:
    """The document (RFC 8414 2; ``acr_values_supported`` as RFC 9470 7 has it)."""
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}{prefix}/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": [],
        "introspection_endpoint": f"{issuer}{prefix}/auth/introspect",
        "introspection_endpoint_auth_methods_supported": ["Bearer"],  # an API key
        "revocation_endpoint": f"{issuer}{prefix}/auth/revoke",
        "acr_values_supported": ["1fa", "2fa"],
        "service_documentation": f"{issuer}{prefix}/openapi.json",
    }
