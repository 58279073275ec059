"""The public keys of another issuer (a JWKS, RFC 7517), as they are had and held. Used by ``foreign``.

Read when a token first asks and kept fresh by ``gatekeeper.issuers``; a token that names an unknown key makes them be
read again, at most once a minute, so that nobody can make the gate call out at will. What cannot be read leaves the
keys in hand in force.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gatekeeper.tokens.jws import VerificationKey

AGAIN: Final = 60.0  # seconds between looks that tokens can cause
MOST_KEYS: Final = 100
_KINDS: Final = {"EdDSA": "OKP", "ES256": "EC", "ES384": "EC", "ES512": "EC"}  # the others are RSA's
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SMALLEST_RSA: Final = 2048  # bits, RFC 7518 3.3
_log = logging.getLogger("gatekeeper.tokens")


class KeysUnavailable(Exception):
    """A source did not give its keys; the text says why, without secrets."""


class KeySource(Protocol):
    """Where a JWKS comes from. Has a deadline and a bound of its own."""

    async def fetch(self) -> bytes:
        """The document. Raises KeysUnavailable."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key, and the text of its JWK, by which it is known again."""

    verification: VerificationKey
    text: str = field(repr=False)


class IssuerKeys:
    """The keys of ``issuer``; ``algorithms`` are those they may have, the first that fits for a key that names none."""

    def __init__(self, issuer: str, source: KeySource, algorithms: Sequence[str]) -> None:
        self._issuer = issuer
        self._source = source
        self._algorithms = tuple(algorithms)
        self._keys: dict[str, IssuerKey] = {}
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self.known = False  # whether they have ever been had

    def __len__(self) -> int:
        return len(self._keys)

    def holds(self, key: IssuerKey) -> bool:
        """Whether this very key is still one of them."""
        return self._keys.get(key.verification.kid) is key

    async def find(self, kid: str | None, now: float) -> IssuerKey | None:
        """The key called ``kid``; the only one there is for a token that names none."""
        found = self._held(kid)
        if found is None and (self._tried_at is None or not 0 <= now - self._tried_at < AGAIN or self._fetching):
            await self.refresh(now)
            found = self._held(kid)
        return found

    async def refresh(self, now: float) -> None:
        """Read them anew, once for all who ask meanwhile; a source that fails is logged, and changes nothing."""
        if self._fetching is None:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)  # whoever leaves must not end it for the others

    async def load(self) -> int:
        """Read them anew and say how many there are. Raises KeysUnavailable."""
        keys = parse_jwks(await self._source.fetch(), self._algorithms)
        # The very object of before while the key is the same: what it verified stays verified.
        self._keys = {kid: self._same(kid, key) for kid, key in keys.items()}
        self.known = True
        return len(keys)

    def _same(self, kid: str, key: IssuerKey) -> IssuerKey:
        before = self._keys.get(kid)
        return before if before is not None and before.text == key.text else key

    async def _fetch(self) -> None:
        try:
            await self.load()
        except KeysUnavailable as why:
            _log.warning("the keys of %s could not be read: %s", self._issuer, why)
        finally:
            self._fetching = None

    def _held(self, kid: str | None) -> IssuerKey | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None


def parse_jwks(document: bytes, algorithms: Sequence[str]) -> dict[str, IssuerKey]:
    """Usable keys by ``kid``, with one algorithm each. Raises KeysUnavailable for what is no JWKS.

    Left out: symmetric keys, keys that are not for signatures, algorithms that are not among ``algorithms``, RSA keys
    under 2,048 bits, and a ``kid`` that stands for two keys.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        raise KeysUnavailable("it is no JSON") from None
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise KeysUnavailable(f"it is no JWK set of at most {MOST_KEYS} keys")
    keys: dict[str, IssuerKey] = {}
    twice = set()
    for jwk in entries:
        key = _usable(jwk, algorithms)
        if key is None:
            continue
        kid = key.verification.kid
        if kid in keys:
            twice.add(kid)
        keys[kid] = key
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _usable(jwk: object, algorithms: Sequence[str]) -> IssuerKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid", ""), str):
        return None
    public: dict[str, Any] = {name: value for name, value in jwk.items() if name not in _PRIVATE}
    algorithm = next((name for name in algorithms if _fits(public, name)), None)
    verification = None if algorithm is None else VerificationKey.from_jwk(public, algorithm)
    if verification is None or getattr(verification.key, "key_size", _SMALLEST_RSA) < _least(public):
        return None
    return IssuerKey(verification, json.dumps([algorithm, public], sort_keys=True))


def _least(jwk: dict[str, Any]) -> int:
    return _SMALLEST_RSA if jwk.get("kty") == "RSA" else 0


def _fits(jwk: dict[str, Any], algorithm: str) -> bool:
    if jwk.get("kty") != _KINDS.get(algorithm, "RSA") or jwk.get("alg", algorithm) != algorithm:
        return False
    return jwk.get("crv") == _CURVES[algorithm] if algorithm in _CURVES else True
