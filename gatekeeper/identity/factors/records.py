"""What is kept of a user's second factors, and the store that keeps it. Implemented by ``gatekeeper.store.factors``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Method(StrEnum):
    """How a second factor is shown, by the names that the API uses."""

    TOTP = "totp"
    PASSKEY = "passkey"
    OTP = "otp"
    RECOVERY_CODE = "recovery-code"


@dataclass(frozen=True, slots=True)
class TotpSecret:
    """A sealed TOTP secret in force; ``last_step`` is the newest time step that was accepted."""

    sealed: bytes = field(repr=False)
    last_step: int


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered passkey; times in Unix seconds. ``public_data`` is attested credential data (WebAuthn 6.5.1)."""

    id: str
    user_id: str
    credential: bytes
    public_data: bytes = field(repr=False)
    name: str
    sign_count: int
    synced: bool
    transports: tuple[str, ...]
    created_at: float
    last_used_at: float | None = None


@dataclass(frozen=True, slots=True)
class Factors:
    """What a user has; times in Unix seconds. Recovery codes and remembered devices are no factors by themselves."""

    totp_since: float | None = None
    totp_last_used: float | None = None
    passkeys: tuple[Passkey, ...] = ()
    recovery_codes_left: int = 0
    remembered_devices: int = 0

    @property
    def any(self) -> bool:
        """Whether there is a second factor."""
        return self.totp_since is not None or bool(self.passkeys)


class FactorStore(Protocol):
    """Factors in PostgreSQL. Each method is one statement or transaction; all raise StoreUnavailable."""

    async def factors_of(self, user: str, now: float) -> Factors: ...

    async def reset(self, user: str) -> None:
        """Remove all of it: factors, recovery codes, remembered devices."""


class TotpStore(Protocol):
    """The part that TOTP needs."""

    async def begin_totp(self, user: str, sealed: bytes, now: float) -> None:
        """Keep a secret that is not in force yet; the one in force stays until it is."""

    async def pending_totp(self, user: str, since: float) -> bytes | None:
        """The sealed secret begun after ``since`` and not confirmed."""

    async def confirm_totp(self, user: str, sealed: bytes, step: int, now: float) -> bool:
        """Put the pending secret in force, if it is still this one."""

    async def totp(self, user: str) -> TotpSecret | None: ...

    async def spend_step(self, user: str, sealed: bytes, step: int, now: float) -> bool:
        """Accept a time step of this secret, once: False where it or a later one was accepted before."""

    async def remove_totp(self, user: str) -> bool: ...


class RecoveryCodeStore(Protocol):
    """The part that recovery codes need."""

    async def replace_codes(self, user: str, hashes: Sequence[bytes], now: float) -> None:
        """The user's only codes from now on."""

    async def spend_code(self, user: str, digest: bytes, now: float) -> bool:
        """Use a code up, once."""


class PasskeyStore(Protocol):
    """The part that passkeys need."""

    async def add_passkey(self, passkey: Passkey) -> bool:
        """False where the credential is registered already, by anybody."""

    async def passkeys(self, user: str) -> list[Passkey]: ...

    async def passkey(self, credential: bytes) -> Passkey | None: ...

    async def count_signature(self, passkey: str, count: int, now: float) -> bool:
        """Note a use and its sign counter; False where the counter did not rise (WebAuthn 7.2 step 22)."""

    async def remove_passkey(self, user: str, passkey: str) -> Passkey | None: ...


class DeviceStore(Protocol):
    """The part that remembered devices need."""

    async def remember_device(self, digest: bytes, user: str, user_agent: str, *, now: float, until: float) -> None: ...

    async def is_remembered(self, digest: bytes, user: str, now: float) -> bool: ...

    async def forget_devices(self, user: str) -> int: ...
