"""Strict JWS verification (RFC 7515, RFC 8725) over pyjwt. Used by ``codec`` and by tests of attack vectors.

One algorithm per key, taken from the key and never from the token. Whatever a header could
use to point elsewhere (jku, x5u, jwk, crit, b64) is refused without being looked at.
"""

from __future__ import annotations

import json
import re
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.api_jwk import PyJWK
from jwt.exceptions import PyJWTError

MAX_TOKEN = 8192  # security 10: longer ones are refused before decoding
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")
_KNOWN_HEADER = frozenset({"alg", "typ", "kid", "cty"})
_ALGORITHMS = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key with the one algorithm that it verifies; ``key`` is a loaded key object of pyjwt's algorithm."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def from_jwk(cls, jwk: dict[str, Any], algorithm: str | None = None) -> VerificationKey | None:
        """A key from a JWK (RFC 7517), or None where it may not or cannot verify signatures.

        ``use`` and ``key_ops`` are honoured (RFC 7517 4.2, 4.3), which pyjwt leaves out.
        """
        name = algorithm or jwk.get("alg")
        if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops")):
            return None
        if not isinstance(name, str) or name == "none" or name not in _ALGORITHMS or jwk.get("alg", name) != name:
            return None
        try:
            loaded = PyJWK(jwk, algorithm=name)
        except (PyJWTError, ValueError, TypeError, KeyError):
            return None
        return cls(kid=str(jwk.get("kid", "")), algorithm=name, key=loaded.key)


def _may_verify(key_ops: object) -> bool:
    return key_ops is None or (isinstance(key_ops, list) and "verify" in key_ops)


def _decode(segment: str) -> bytes:
    """Base64url without padding, in its one canonical form (RFC 4648 3.5). Raises ValueError."""
    plain = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if urlsafe_b64encode(plain).rstrip(b"=").decode() != segment:
        raise ValueError("not canonical")
    return plain


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def read_header(token: str, *, harmless: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """The protected header of a compact JWS, or None where the token is not acceptable at first sight.

    ``harmless`` parameters may stand there beside those that mean something here.
    """
    if len(token) > MAX_TOKEN or _COMPACT.fullmatch(token) is None:
        return None
    try:
        header = json.loads(_decode(token[: token.index(".")]), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not header.keys() <= _KNOWN_HEADER | harmless:
        return None
    if not all(isinstance(value, str) for value in header.values()):
        return None
    return header


def read_payload(token: str) -> bytes | None:
    """What a compact JWS (see ``read_header``) holds, which nobody has verified; None where it cannot be decoded."""
    try:
        return _decode(token.split(".", 2)[1])
    except ValueError:
        return None


def verify(token: str, header: dict[str, Any], key: VerificationKey) -> bytes | None:
    """The payload of ``token`` if ``key`` signed it under the key's own algorithm, else None."""
    if header.get("alg") != key.algorithm:
        return None
    algorithm: Algorithm = _ALGORITHMS[key.algorithm]
    signing_input, _, signature = token.rpartition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            good = algorithm.verify(signing_input.encode("ascii"), key.key, _decode(signature))
        return _decode(signing_input.partition(".")[2]) if good else None
    except (PyJWTError, ValueError, TypeError):
        return None
