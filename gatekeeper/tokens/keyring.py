"""Signing keys: made at first start, sealed at rest, published as JWKS. Read by ``codec`` and ``assertion``.

Sealing is AES-256-GCM (NIST SP 800-38D) under a key derived by HKDF (RFC 5869) from the gate's secret,
with the kid as associated data, so that a row cannot be passed off as another.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.algorithms import get_default_algorithms
from jwt.utils import base64url_encode

from gatekeeper.errors import StartupError
from gatekeeper.tokens.jws import VerificationKey

_ALGORITHMS = get_default_algorithms()
_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it rests in the database; times in Unix seconds."""

    kid: str
    algorithm: str
    purpose: str
    sealed: bytes = field(repr=False)
    created_at: float
    not_before: float
    retired_at: float | None = None


class KeyStore(Protocol):
    """Where sealed keys rest."""

    async def load(self) -> Sequence[SealedKey]: ...

    async def add_unless_present(self, key: SealedKey) -> None:
        """Insert unless a key of this purpose and algorithm is there; safe when several gates start at once."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A loaded key; ``private`` signs, ``public`` verifies (the same object for HMAC)."""

    kid: str
    algorithm: str
    purpose: str
    private: Any = field(repr=False)
    public: Any = field(repr=False)
    not_before: float
    retired_at: float | None = None

    def verification(self) -> VerificationKey:
        """The half that verifies."""
        return VerificationKey(self.kid, self.algorithm, self.public)


def derive(secret: str, purpose: str, length: int = 32) -> bytes:
    """A key for one purpose from the gate's secret (HKDF-SHA-256)."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"gatekeeper:{purpose}".encode()).derive(
        secret.encode()
    )


def generate(algorithm: str, purpose: str, secret: str, now: float, *, not_before: float | None = None) -> SealedKey:
    """A new key, sealed; it signs from ``not_before`` on, which is now unless given."""
    private, kid = _generate(algorithm)
    sealed = _seal(private, kid, secret)
    return SealedKey(
        kid, algorithm, purpose, sealed, created_at=now, not_before=now if not_before is None else not_before
    )


def _generate(algorithm: str) -> tuple[bytes, str]:
    match algorithm:
        case "HS256":
            return secrets.token_bytes(32), secrets.token_urlsafe(24)
        case "EdDSA":
            key: Any = ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            key = rsa.generate_private_key(65537, 3072)
        case _:
            raise ValueError(f"unknown algorithm {algorithm}")
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return plain, thumbprint(public_jwk(algorithm, key.public_key()))


def public_jwk(algorithm: str, public: Any) -> dict[str, str]:
    """The public members of a key as a JWK (RFC 7517, RFC 8037)."""
    jwk: dict[str, str] = _ALGORITHMS[algorithm].to_jwk(public, as_dict=True)
    return {member: jwk[member] for member in _THUMBPRINT_MEMBERS[jwk["kty"]]}


def thumbprint(jwk: dict[str, str]) -> str:
    """The JWK thumbprint (RFC 7638), base64url."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64url_encode(sha256(canonical.encode()).digest()).decode()


def _seal(plain: bytes, kid: str, secret: str) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(derive(secret, "keys-at-rest")).encrypt(nonce, plain, kid.encode())


def unseal(key: SealedKey, secret: str) -> SigningKey:
    """The loaded key. Raises StartupError when the secret is not the one that sealed it."""
    try:
        plain = AESGCM(derive(secret, "keys-at-rest")).decrypt(key.sealed[:12], key.sealed[12:], key.kid.encode())
    except InvalidTag:
        raise StartupError(
            f"signing key {key.kid} cannot be opened: storage.secret is not the secret that this database began with"
        ) from None
    if key.algorithm == "HS256":
        return SigningKey(key.kid, key.algorithm, key.purpose, plain, plain, key.not_before, key.retired_at)
    private: Any = serialization.load_der_private_key(plain, password=None)
    return SigningKey(
        key.kid, key.algorithm, key.purpose, private, private.public_key(), key.not_before, key.retired_at
    )


class KeyRing:
    """The keys in force: newest signs, all that are not retired verify."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys = {key.kid: key for key in keys}

    def replace(self, keys: Sequence[SigningKey]) -> frozenset[str]:
        """Take over another set; returns the kids that no longer verify."""
        gone = self._keys.keys() - {key.kid for key in keys}
        self._keys = {key.kid: key for key in keys}
        return frozenset(gone)

    def signer(self, purpose: str, now: float) -> SigningKey:
        """The newest key of this purpose that is in use at ``now``. Raises StartupError without one.

        Where all are still to come, the first of them: another gate, whose clock is ahead, has just made it.
        """
        keys = [
            key
            for key in self._keys.values()
            if key.purpose == purpose and (key.retired_at is None or now < key.retired_at)
        ]
        if not keys:
            raise StartupError(f"there is no signing key for {purpose} tokens")
        in_use = [key for key in keys if key.not_before <= now]
        if not in_use:
            return min(keys, key=lambda key: key.not_before)
        return max(in_use, key=lambda key: key.not_before)

    def find(self, kid: str, purpose: str, now: float) -> SigningKey | None:
        """The key that verifies tokens of this purpose under ``kid``, unless retired."""
        key = self._keys.get(kid)
        if key is None or key.purpose != purpose or (key.retired_at is not None and now >= key.retired_at):
            return None
        return key

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public keys (RFC 7517 5); symmetric keys and private members never appear."""
        return {
            "keys": [
                {**public_jwk(key.algorithm, key.public), "kid": key.kid, "alg": key.algorithm, "use": "sig"}
                for key in self._keys.values()
                if key.algorithm != "HS256" and (key.retired_at is None or now < key.retired_at)
            ]
        }
