"""Small secrets at rest: AES-256-GCM (NIST SP 800-38D) under a derived key, bound to whom they belong to.

Used by the outbox, by challenges and by second factors.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes


class Sealer:
    """Seals and opens under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, owner: str) -> bytes:
        """Nonce and ciphertext; only ``open`` for the same owner gives the secret back."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes | None:
        """The secret; None where it was sealed under another key or for another owner, or is cut off."""
        if len(sealed) < _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner.encode())
        except InvalidTag:
            return None
