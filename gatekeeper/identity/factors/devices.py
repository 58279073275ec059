"""Remembered devices: a browser whose owner ticked the box is not asked for a second factor again for a while.

The cookie holds a random id and its HMAC; PostgreSQL knows whose it is, so that forgetting a user's devices is one
statement there. A device replaces the second factor at a login only: the session is ``1fa`` all the same, so what asks
for two factors still does.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256

from jwt.utils import base64url_encode

from gatekeeper.identity.factors.records import DeviceStore

_SHAPE = re.compile(r"([A-Za-z0-9_-]{32})\.([A-Za-z0-9_-]{43})")


class Devices:
    """Remembers and recognises; ``key`` (32 bytes) signs the cookies, ``life`` in seconds, None: never remembers."""

    def __init__(self, store: DeviceStore, key: bytes, *, life: float | None) -> None:
        self._store = store
        self._key = key
        self.life = life

    async def remember(self, user: str, user_agent: str, now: float) -> str | None:
        """The cookie's value for a device that is the user's from now on; None where none are remembered."""
        if self.life is None:
            return None
        device = secrets.token_urlsafe(24)
        await self._store.remember_device(_digest(device), user, user_agent, now=now, until=now + self.life)
        return f"{device}.{self._mac(device)}"

    async def recognises(self, cookie: str | None, user: str, now: float) -> bool:
        """Whether this cookie was given to a device of this user and still counts. Raises StoreUnavailable."""
        match = _SHAPE.fullmatch(cookie) if cookie is not None and self.life is not None else None
        if match is None or not hmac.compare_digest(match[2], self._mac(match[1])):
            return False
        return await self._store.is_remembered(_digest(match[1]), user, now)

    async def forget(self, user: str) -> int:
        """Every device of a user; how many there were."""
        return await self._store.forget_devices(user)

    def _mac(self, device: str) -> str:
        return base64url_encode(hmac.new(self._key, f"device\0{device}".encode(), sha256).digest()).decode()


def _digest(device: str) -> bytes:
    return sha256(device.encode()).digest()
