"""TOTP (RFC 6238): six digits of SHA-1 every 30 seconds, as authenticator apps make them.

A code counts within one step of the clock, and a step counts once: the newest that was accepted is stored, and it and
older ones are refused in the statement that stores it (RFC 6238 5.2, security 19).
"""

from __future__ import annotations

import hmac
import io
import re
from dataclasses import dataclass, field
from typing import Any, Final

import pyotp
import segno

from gatekeeper.identity.factors.records import TotpStore
from gatekeeper.tokens.sealing import Sealer

STEP: Final = 30  # seconds
DRIFT: Final = 1  # steps that a phone's clock may be off, either way
PENDING: Final = 900.0  # seconds to confirm a new secret
_CODE = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True)
class NewTotp:
    """A secret to put into an app: base32 (RFC 4648 6), as an ``otpauth:`` address, and that as a QR code in SVG."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr: str = field(repr=False)


def matching_step(generator: pyotp.TOTP, code: str, now: float) -> int | None:
    """The time step, at most DRIFT off, whose code this is. Takes as long for each."""
    current = int(now) // generator.interval
    found = None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(generator.generate_otp(step), code):
            found = step
    return found


def qr_svg(text: str) -> str:
    """A QR code (ISO/IEC 18004) as an SVG element without inline styles, dark on light in both colour schemes."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", scale=4, border=4, xmldecl=False, light="#fff")
    return out.getvalue().decode()


class Totp:
    """Enrols and checks; ``issuer`` is what apps show beside the e-mail."""

    def __init__(self, store: TotpStore, sealer: Sealer, *, issuer: str) -> None:
        self._store = store
        self._sealer = sealer
        self._issuer = issuer

    async def begin(self, user: str, email: str, now: float) -> NewTotp:
        """A new secret, in force once ``confirm`` has seen a code of it. Raises StoreUnavailable."""
        secret = pyotp.random_base32()
        await self._store.begin_totp(user, self._sealer.seal(secret.encode(), user), now)
        uri = _generator(secret).provisioning_uri(name=email, issuer_name=self._issuer)
        return NewTotp(secret, uri, qr_svg(uri))

    async def confirm(self, user: str, code: str, now: float) -> bool:
        """Whether the code is of the secret that was begun, which then is the one in force. Raises StoreUnavailable."""
        sealed = await self._store.pending_totp(user, now - PENDING)
        step = self._step(user, sealed, code, now)
        return sealed is not None and step is not None and await self._store.confirm_totp(user, sealed, step, now)

    async def verify(self, user: str, code: str, now: float) -> bool:
        """Accept a code, and its step never again. Raises StoreUnavailable."""
        secret = await self._store.totp(user)
        if secret is None:
            return False
        step = self._step(user, secret.sealed, code, now)
        return step is not None and await self._store.spend_step(user, secret.sealed, step, now)

    async def remove(self, user: str) -> bool:
        """False where there was none."""
        return await self._store.remove_totp(user)

    def _step(self, user: str, sealed: bytes | None, code: str, now: float) -> int | None:
        digits = code.replace(" ", "")
        secret = self._sealer.open(sealed, user) if sealed is not None else None
        if secret is None or _CODE.fullmatch(digits) is None:
            return None
        return matching_step(_generator(secret.decode()), digits, now)


def _generator(secret: str) -> Any:
    return pyotp.TOTP(secret, interval=STEP)
