"""Another issuer: keys, its JWKS, and tokens as it would sign them."""

from __future__ import annotations

import json
import secrets
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from factories import NOW
from jwt.algorithms import get_default_algorithms

NAME = "https://login.example/realms/one"
AUDIENCE = "reports"
_MAKERS = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


class OtherIssuer:
    """``name`` with the keys that were made; the newest signs. Tokens are good unless ``changes`` say otherwise."""

    def __init__(self, name: str = NAME, algorithm: str = "EdDSA") -> None:
        self.name = name
        self.keys: dict[str, tuple[str, Any]] = {}
        self.fetched = 0
        self.answers = True
        self.make_key(algorithm)

    def make_key(self, algorithm: str = "EdDSA", kid: str | None = None) -> str:
        """A further key; its ``kid``."""
        kid = kid or secrets.token_hex(4)
        self.keys[kid] = (algorithm, _MAKERS[algorithm]())
        return kid

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [self.jwk(kid) for kid in self.keys]}

    def jwk(self, kid: str) -> dict[str, Any]:
        """One of them."""
        algorithm, key = self.keys[kid]
        public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": kid, "alg": algorithm, "use": "sig"}

    async def fetch(self) -> bytes:
        """As a source of keys that works while ``answers``."""
        from gatekeeper.tokens.issuer_keys import KeysUnavailable  # what it imports is under test

        self.fetched += 1
        if not self.answers:
            raise KeysUnavailable("nobody answers")
        return json.dumps(self.jwks()).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, with these changes; None takes one away."""
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "ada",
            "jti": secrets.token_hex(8),
            "iat": int(NOW),
            "exp": int(NOW) + 600,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed token."""
        kid = kid or list(self.keys)[-1]
        algorithm, key = self.keys[kid]
        head = {"kid": kid, "typ": "at+jwt", **(header or {})}
        return jwt.PyJWS().encode(json.dumps(self.claims(**changes)).encode(), key, algorithm=algorithm, headers=head)
