"""The gate's signing keys as people deal with them: looked at, rotated, retired, each change with its audit entry.

Called by ``gatekeeper key`` and by the panel. A rotation publishes the new key before it signs, and lets the old one
verify until the last token that it signed is over (security 13). Retiring one is for a key that somebody else may have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor, said_time
from gatekeeper.errors import Refused
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens import assertion
from gatekeeper.tokens.codec import CLOCK_SKEW
from gatekeeper.tokens.keyring import KeyStore, SealedKey, generate

LEAD: Final = 600.0  # seconds: clients may keep jwks.json for 300, and gates look for new keys
PURPOSES: Final = ("access", "assertion")
_ALGORITHM: Final = "EdDSA"  # of assertions: upstreams verify them, so the key has to have a public half


class KeyState(StrEnum):
    """What a key is good for now."""

    PUBLISHED = "published"
    SIGNS = "signs"
    VERIFIES = "verifies"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key without its private half; times in Unix seconds. From ``retired_at`` on it verifies nothing."""

    kid: str
    purpose: str
    algorithm: str
    state: KeyState
    created_at: float
    signs_from: float
    retired_at: float | None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation that has begun: the new key, when it begins to sign, and until when the old ones verify."""

    kid: str
    purpose: str
    signs_from: float
    others_until: float


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that has ended, and the one that was made because no other signed."""

    kid: str
    successor: str | None


class KeyRotation(Protocol):
    """Changes the keys at rest, each time in one transaction. Raises StoreUnavailable."""

    async def rotate(self, successor: SealedKey, *, until: float, now: float) -> str | None:
        """Add a key that is to sign; None, or the id of one that waits to sign already: then nothing is changed."""

    async def retire(self, kid: str, successor: SealedKey, now: float) -> bool:
        """End a key now; whether ``successor`` took its place."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The gate's secret, which seals keys; algorithm and life (seconds) of access tokens."""

    secret: str
    algorithm: str
    access_ttl: float


class KeyDesk:
    """The service. Raises Refused, with nothing changed, and StoreUnavailable; times in Unix seconds."""

    def __init__(self, keys: KeyStore, rotation: KeyRotation, audit: AuditLog, settings: KeySettings) -> None:
        self._keys = keys
        self._rotation = rotation
        self._audit = audit
        self._settings = settings

    async def all(self, now: float) -> list[ShownKey]:
        """Every key, the one that signs latest first."""
        keys = sorted(await self._keys.load(), key=lambda key: -key.not_before)
        return [_shown(key, keys, now) for key in keys]

    async def rotate(self, purpose: str, by: Actor, now: float, *, lead: float = LEAD, why: str = "") -> Rotated:
        """Publish a new key of one of PURPOSES, which signs after ``lead`` seconds."""
        starts = now + lead
        made = self._made(purpose, now, starts)
        until = starts + self._life(purpose)
        waiting = await self._rotation.rotate(made, until=until, now=now)
        if waiting is not None:
            raise Refused(f"a rotation is under way: {waiting} is published and does not sign yet")
        after: dict[str, object] = {"purpose": purpose, "signs_from": said_time(starts)}
        await self._note("key.rotate", made.kid, after, by, now, why)
        return Rotated(made.kid, purpose, starts, until)

    async def retire(self, kid: str, by: Actor, now: float, *, why: str = "") -> Retired:
        """End a key at once: what it signed is refused as soon as the gates have looked."""
        key = next((key for key in await self._keys.load() if key.kid == kid), None)
        if key is None or (key.retired_at is not None and key.retired_at <= now):
            raise Refused(f"there is no key {kid[:64]} that is in use")
        made = self._made(key.purpose, now, now)
        successor = made.kid if await self._rotation.retire(key.kid, made, now) else None
        await self._note("key.retire", key.kid, {"purpose": key.purpose, "successor": successor}, by, now, why)
        return Retired(key.kid, successor)

    def _made(self, purpose: str, now: float, not_before: float) -> SealedKey:
        algorithm = self._settings.algorithm if purpose == "access" else _ALGORITHM
        return generate(algorithm, purpose, self._settings.secret, now, not_before=not_before)

    def _life(self, purpose: str) -> float:
        """Seconds for which a token of this purpose may be shown after it was signed."""
        return CLOCK_SKEW + (self._settings.access_ttl if purpose == "access" else float(assertion.LIFE))

    async def _note(self, action: str, kid: str, facts: dict[str, object], by: Actor, now: float, why: str) -> None:
        after = {**facts, "why": why} if why else facts
        change = Change(now, by.name, action, kid, None, after, by.address, by.request_id, by.key)
        await self._audit.record_change(change)


def _shown(key: SealedKey, keys: Sequence[SealedKey], now: float) -> ShownKey:
    state = _state(key, keys, now)
    return ShownKey(key.kid, key.purpose, key.algorithm, state, key.created_at, key.not_before, key.retired_at)


def _state(key: SealedKey, keys: Sequence[SealedKey], now: float) -> KeyState:
    if key.retired_at is not None and key.retired_at <= now:
        return KeyState.RETIRED
    if key.not_before > now:
        return KeyState.PUBLISHED
    same = [other for other in keys if other.purpose == key.purpose and other.not_before <= now]
    newest = max(
        (one for one in same if one.retired_at is None or one.retired_at > now), key=lambda one: one.not_before
    )
    return KeyState.SIGNS if newest is key else KeyState.VERIFIES
