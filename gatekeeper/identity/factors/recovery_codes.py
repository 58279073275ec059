"""Recovery codes: ten, shown once, each good once, for whoever has lost the other factors.

A code has 60 random bits, so a keyed hash is enough at rest: there is nothing to guess at offline.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Final

from gatekeeper.identity.factors.records import RecoveryCodeStore

COUNT: Final = 10
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing looks like anything else
_LENGTH: Final = 12
_GROUP: Final = 4
_MISREAD: Final = str.maketrans({"o": "0", "i": "1", "l": "1", "-": "", " ": ""})


class RecoveryCodes:
    """Makes and checks codes; ``key`` (32 bytes) keys their hashes."""

    def __init__(self, store: RecoveryCodeStore, key: bytes) -> None:
        self._store = store
        self._key = key

    async def renew(self, user: str, now: float) -> list[str]:
        """Ten codes, the only good ones from now on; they cannot be shown again. Raises StoreUnavailable."""
        codes: set[str] = set()
        while len(codes) < COUNT:
            codes.add("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))
        await self._store.replace_codes(user, [self._digest(user, code) for code in codes], now)
        return ["-".join(code[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP)) for code in codes]

    async def verify(self, user: str, code: str, now: float) -> bool:
        """Use a code up. Case, blanks and dashes do not matter. Raises StoreUnavailable."""
        typed = code.lower().translate(_MISREAD)
        if len(typed) != _LENGTH:
            return False
        return await self._store.spend_code(user, self._digest(user, typed), now)

    def _digest(self, user: str, code: str) -> bytes:
        return hmac.new(self._key, f"{user}\0{code}".encode(), sha256).digest()
