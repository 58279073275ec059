"""Refresh tokens: ``sid.generation.HMAC``. Stateless to check, stateful to spend (see ``sessions``)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256

from jwt.utils import base64url_encode

_SHAPE = re.compile(r"([A-Za-z0-9_-]{24})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """What a refresh token with a good HMAC says: which session, and which generation of it."""

    session: str
    generation: int


class RefreshTokens:
    """Makes and reads refresh tokens under one server key (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, session: str, generation: int) -> str:
        """The token of one generation of a session."""
        return f"{session}.{generation}.{self._mac(session, generation)}"

    def read(self, token: str) -> RefreshClaim | None:
        """The claim, or None where the token was not made by this key."""
        match = _SHAPE.fullmatch(token)
        if match is None:
            return None
        session, generation = match[1], int(match[2])
        if not hmac.compare_digest(match[3], self._mac(session, generation)):
            return None
        return RefreshClaim(session, generation)

    def _mac(self, session: str, generation: int) -> str:
        mac = hmac.new(self._key, f"refresh\0{session}\0{generation}".encode(), sha256)
        return base64url_encode(mac.digest()).decode()
