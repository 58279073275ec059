"""The gate's cookies (RFC 6265bis): names, attributes, and reading them back out of a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from gatekeeper.tokens.devices import LIFE as KNOWN_FOR
from gatekeeper.tokens.sessions import TokenPair


@dataclass(frozen=True, slots=True)
class PresentedCookies:
    """The gate's cookies as a request carries them. A name sent twice counts as bad: ``doubled``."""

    access: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    doubled: bool = False


class Cookies:
    """``__Host-gate`` and ``__Host-gate-refresh``; over plain http (loopback only) without prefix and Secure."""

    EVER: ClassVar[frozenset[str]] = frozenset(
        {
            *("gate", "gate-refresh", "gate-device", "gate-known"),
            *("__Host-gate", "__Host-gate-refresh", "__Host-gate-device", "__Host-gate-known"),
        }
    )

    def __init__(self, *, secure: bool) -> None:
        prefix = "__Host-" if secure else ""
        self.access_name = f"{prefix}gate"
        self.refresh_name = f"{prefix}gate-refresh"
        self.device_name = f"{prefix}gate-device"
        self.known_name = f"{prefix}gate-known"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def read(self, fields: Iterable[str]) -> PresentedCookies:
        """The gate's cookies out of Cookie header fields."""
        found: dict[str, str] = {}
        doubled = False
        for cookie_field in fields:
            if "gate" not in cookie_field:
                continue
            for part in cookie_field.split(";"):
                name, _, value = part.strip().partition("=")
                if name in {self.access_name, self.refresh_name}:
                    doubled = doubled or name in found
                    found[name] = value
        return PresentedCookies(found.get(self.access_name), found.get(self.refresh_name), doubled)

    def device(self, fields: Iterable[str]) -> str | None:
        """The cookie of a remembered device (``identity.factors.devices``); None without one, or with two."""
        return _single(fields, self.device_name)

    def known(self, fields: Iterable[str]) -> str | None:
        """The token of a browser that has signed in before (``tokens.devices``); None without one, or with two."""
        return _single(fields, self.known_name)

    def set_known(self, token: str) -> str:
        """Set-Cookie for that token; a logout leaves it."""
        return f"{self.known_name}={token}; Max-Age={KNOWN_FOR}{self._attributes}"

    def set_device(self, value: str, life: float) -> str:
        """Set-Cookie that remembers a device for ``life`` seconds."""
        return f"{self.device_name}={value}; Max-Age={int(life)}{self._attributes}"

    def set_access(self, pair: TokenPair, now: float) -> str:
        """Set-Cookie for the access token; it stays until the session's end and is renewed in passing."""
        life = max(int(pair.session.expires_at - now), 0)
        return f"{self.access_name}={pair.access}; Max-Age={life}{self._attributes}"

    def set_refresh(self, pair: TokenPair, now: float) -> str:
        """Set-Cookie for the refresh token."""
        life = max(int(pair.session.expires_at - now), 0)
        return f"{self.refresh_name}={pair.refresh}; Max-Age={life}{self._attributes}"

    def clear(self) -> tuple[str, str]:
        """Set-Cookie values that remove both."""
        return (
            f"{self.access_name}=; Max-Age=0{self._attributes}",
            f"{self.refresh_name}=; Max-Age=0{self._attributes}",
        )


def _single(fields: Iterable[str], wanted: str) -> str | None:
    pairs = (part.strip().partition("=") for cookie_field in fields for part in cookie_field.split(";"))
    found = [value for name, _, value in pairs if name == wanted]
    return found[0] if len(found) == 1 else None
