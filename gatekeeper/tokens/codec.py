"""Access tokens (RFC 9068): minted at login, refresh and renewal, read on every request.

Signatures are remembered by token text in a bounded LRU: that a key signed a text is a fact. Times are
compared on every read, and the entries of a key go when the key does.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import get_default_algorithms
from jwt.utils import base64url_encode

from gatekeeper.tokens import jws
from gatekeeper.tokens.keyring import KeyRing, SigningKey
from policies.model import Reason

CLOCK_SKEW = 90.0  # seconds that another gate's clock may be ahead when it sets iat and nbf
_ALGORITHMS = get_default_algorithms()
_TEXTS = ("iss", "aud", "sub", "sid", "jti", "acr", "email")
_TIMES = ("iat", "nbf", "exp", "auth_time")


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says; times in Unix seconds. Roles that decide come from the live user record."""

    subject: str
    session: str
    jti: str
    issued_at: int
    not_before: int
    expires_at: int
    auth_time: int
    acr: str
    amr: tuple[str, ...]
    email: str
    email_verified: bool
    roles: tuple[str, ...]


class AccessTokens:
    """Mints and reads access tokens of one issuer and audience."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, ttl: float, cache_size: int = 10_000) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self.ttl = ttl
        self._cache_size = cache_size
        self._verified: OrderedDict[str, tuple[AccessClaims, str]] = OrderedDict()

    def mint(self, claims: AccessClaims, now: float) -> str:
        """The signed token for ``claims``."""
        return sign(
            self._keys.signer("access", now),
            "at+jwt",
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": claims.subject,
                "sid": claims.session,
                "jti": claims.jti,
                "iat": claims.issued_at,
                "nbf": claims.not_before,
                "exp": claims.expires_at,
                "auth_time": claims.auth_time,
                "acr": claims.acr,
                "amr": list(claims.amr),
                "email": claims.email,
                "email_verified": claims.email_verified,
                "roles": list(claims.roles),
            },
        )

    def read(self, token: str, now: float) -> AccessClaims | Reason:
        """The claims of a good token, or TOKEN_INVALID or TOKEN_EXPIRED."""
        entry = self._verified.get(token)
        if entry is None:
            found = self._verify(token, now)
            if isinstance(found, Reason):
                return found
            entry = found
            self._remember(token, entry)
        claims, kid = entry
        if self._keys.find(kid, "access", now) is None:
            del self._verified[token]
            return Reason.TOKEN_INVALID
        if now >= claims.expires_at:
            self._verified.pop(token, None)
            return Reason.TOKEN_EXPIRED
        if claims.not_before > now + CLOCK_SKEW or claims.issued_at > now + CLOCK_SKEW:
            return Reason.TOKEN_INVALID
        return claims

    def forget(self, kids: Iterable[str]) -> None:
        """Drop what was verified under keys that are gone."""
        gone = frozenset(kids)
        for token in [token for token, (_, kid) in self._verified.items() if kid in gone]:
            del self._verified[token]

    def _remember(self, token: str, entry: tuple[AccessClaims, str]) -> None:
        self._verified[token] = entry
        if len(self._verified) > self._cache_size:
            self._verified.popitem(last=False)

    def _verify(self, token: str, now: float) -> tuple[AccessClaims, str] | Reason:
        header = jws.read_header(token)
        if header is None or header.get("typ", "").lower() != "at+jwt":
            return Reason.TOKEN_INVALID
        key = self._keys.find(header.get("kid", ""), "access", now)
        if key is None:
            return Reason.TOKEN_INVALID
        payload = jws.verify(token, header, key.verification())
        if payload is None:
            return Reason.TOKEN_INVALID
        claims = self._typed(payload)
        return (claims, key.kid) if claims is not None else Reason.TOKEN_INVALID

    def _typed(self, payload: bytes) -> AccessClaims | None:
        try:
            raw: Any = json.loads(payload)
        except (ValueError, RecursionError):
            return None
        if not isinstance(raw, dict) or not _well_typed(raw):
            return None
        if raw["iss"] != self._issuer or raw["aud"] != self._audience:
            return None
        return AccessClaims(
            subject=raw["sub"],
            session=raw["sid"],
            jti=raw["jti"],
            issued_at=raw["iat"],
            not_before=raw["nbf"],
            expires_at=raw["exp"],
            auth_time=raw["auth_time"],
            acr=raw["acr"],
            amr=tuple(raw["amr"]),
            email=raw["email"],
            email_verified=raw["email_verified"],
            roles=tuple(raw["roles"]),
        )


def _well_typed(raw: dict[str, Any]) -> bool:
    texts = all(isinstance(raw.get(name), str) and raw[name] for name in _TEXTS)
    times = all(type(raw.get(name)) is int for name in _TIMES)  # a bool is an int, and not a time
    lists = all(
        isinstance(raw.get(name), list) and all(isinstance(item, str) for item in raw[name])
        for name in ("amr", "roles")
    )
    return texts and times and lists and type(raw.get("email_verified")) is bool


def sign(key: SigningKey, typ: str, claims: dict[str, Any]) -> str:
    """A compact JWS (RFC 7515 3.1) over ``claims``."""
    header = {"alg": key.algorithm, "typ": typ, "kid": key.kid}
    parts = [base64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    signing_input = b".".join(parts)
    signature = _ALGORITHMS[key.algorithm].sign(signing_input, key.private)
    return b".".join((signing_input, base64url_encode(signature))).decode()
