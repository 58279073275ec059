"""The calls of API keys, for ``openapi``."""

from __future__ import annotations

from typing import Final

from gatekeeper.identity.api_key_bodies import ApiKeysAnswer, NewApiKeyAnswer, NewApiKeyBody, RotateApiKeyBody
from gatekeeper.identity.operation import Operation

_KEYS: Final = "/auth/api-keys"

API_KEY_OPERATIONS: Final = (
    Operation("get", _KEYS, "My API keys", {200: ApiKeysAnswer}, secured=True, refusals=(401, 403)),
    Operation(
        "post",
        _KEYS,
        "Make an API key, which is shown this once",
        {201: NewApiKeyAnswer},
        NewApiKeyBody,
        secured=True,
        refusals=(401, 403, 409, 422),
    ),
    Operation(
        "post",
        f"{_KEYS}/{{id}}/rotate",
        "Another key like it; the old one goes on for a while",
        {201: NewApiKeyAnswer},
        RotateApiKeyBody,
        secured=True,
        refusals=(401, 403, 404, 422),
    ),
    Operation("delete", f"{_KEYS}/{{id}}", "Revoke a key", {204: None}, secured=True, refusals=(401, 403, 404)),
)
