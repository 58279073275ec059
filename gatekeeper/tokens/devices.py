"""Known devices: this browser has signed in to this account before. Kept in a cookie, checked by ``identity.login``.

A token is ``id.mac[.mac...]``: a random id of the browser and, for each of the last few accounts, an HMAC over the
account's id and it. It admits nobody and is no second factor: it only keeps what strangers do at other addresses
from standing between an owner and the login form (security 20). Nothing is stored, and the token names no account.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

LIFE: Final = 400 * 86400  # seconds; what browsers keep a cookie for at most (RFC 6265bis 5.5)
_ACCOUNTS: Final = 5  # that one browser is remembered for
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{32}){1,5}")


class DeviceTokens:
    """Makes and reads device tokens under ``key`` (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def recognise(self, presented: str | None, user: str) -> str | None:
        """The browser's id where it has signed in to ``user`` before, else None."""
        device, known = _read(presented)
        wanted = self._mac(device, user)
        # Every one is compared, so that the time says nothing of how many accounts there are.
        found = [hmac.compare_digest(mac, wanted) for mac in known]
        return device if any(found) else None

    def remember(self, presented: str | None, user: str) -> str:
        """The token that also speaks for ``user``; the browser keeps its id, the account used longest ago falls out."""
        device, known = _read(presented)
        if not known:
            device = secrets.token_urlsafe(16)
        mine = self._mac(device, user)
        others = [mac for mac in known if mac != mine]
        return ".".join([device, mine, *others[: _ACCOUNTS - 1]])

    def _mac(self, device: str, user: str) -> str:
        digest = hmac.digest(self._key, f"device\0{user}\0{device}".encode(), sha256)
        return urlsafe_b64encode(digest[:24]).decode()


def _read(presented: str | None) -> tuple[str, list[str]]:
    if presented is None or _TOKEN.fullmatch(presented) is None:
        return "", []
    device, *known = presented.split(".")
    return device, known
