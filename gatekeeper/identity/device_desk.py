"""The browsers that accounts were used from, as admins see, trust and forget them. Called by the panel.

A browser is known by its fingerprint (``identity.fingerprints``), a keyed hash. Trusting one keeps the signals quiet
about it; it opens nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import Problem
from gatekeeper.identity.signals import Profiles
from gatekeeper.identity.user_desk import noted
from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.audit import AuditLog
from gatekeeper.tokens.sessions import Sessions
from policies.familiar import REMEMBERED, Familiar, Sighting
from policies.model import Address, Reason

FORGOTTEN: Final = "device-forgotten"
LOOKED_AT: Final = 2000  # good logins of an account, the newest, that its devices are read from


class Standing(StrEnum):
    """What the signals make of a browser."""

    KNOWN = "known"
    FORGOTTEN = "forgotten"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """The last good login by a browser, and how many there were; ``seen_at`` in Unix seconds."""

    fingerprint: str
    user_agent: str
    address: Address
    country: str | None
    city: str | None
    seen_at: float
    logins: int


@dataclass(frozen=True, slots=True)
class Device:
    """A browser of an account, and what the signals make of it."""

    last: SeenDevice
    standing: Standing


class DeviceReader(Protocol):
    """What the login log knows of browsers. Raises StoreUnavailable."""

    async def devices_of(self, user: str, since: float) -> list[SeenDevice]:
        """The browsers of the newest ``LOOKED_AT`` good logins since then, the latest first."""

    async def sessions_by(self, user: str, fingerprint: str, since: float) -> Sequence[str]:
        """The sessions that a browser has opened since then."""


class RememberedDevices(Protocol):
    """Browsers that are not asked for a second factor. Raises StoreUnavailable."""

    async def forget_devices(self, user: str) -> int: ...


class DeviceDesk:
    """The service. Raises Problem (404, 422) and StoreUnavailable; times in Unix seconds."""

    def __init__(
        self,
        reader: DeviceReader,
        profiles: Profiles,
        remembered: RememberedDevices,
        sessions: Sessions,
        audit: AuditLog,
    ) -> None:
        self._reader = reader
        self._profiles = profiles
        self._remembered = remembered
        self._sessions = sessions
        self._audit = audit

    async def of_user(self, user: str, now: float) -> list[Device]:
        """The browsers of an account, the latest first."""
        seen, familiar = await asyncio.gather(
            self._reader.devices_of(user, now - REMEMBERED), self._profiles.read(user)
        )
        return [Device(one, _standing(familiar, one.fingerprint)) for one in seen]

    async def trust(self, user: str, fingerprint: str, by: Actor, why: str, now: float) -> None:
        """The signals know this browser from now on."""
        device = await self._found(user, fingerprint, now)
        await self._profiles.learn(user, lambda familiar: familiar.trusting_device(fingerprint, now))
        await self._note("device.trust", user, device.last, by, why, now, {})

    async def trust_attempt(self, attempt: Attempt, by: Actor, why: str, now: float) -> None:
        """The same of the browser and the place of a login, whatever became of it: the next one is not odd for them."""
        user = attempt.user_id
        if user is None or attempt.fingerprint is None:
            raise Problem(422, Reason.VALIDATION, "Nothing is known of this login that could be trusted.")
        seen = Sighting(
            now,
            attempt.address,
            country=attempt.country,
            asn=attempt.asn,
            as_org=attempt.as_org,
            fingerprint=attempt.fingerprint,
        )
        await self._profiles.learn(user, lambda familiar: familiar.trusting(seen))
        last = SeenDevice(
            attempt.fingerprint, attempt.user_agent, attempt.address, attempt.country, attempt.city, attempt.time, 1
        )
        facts: dict[str, object] = {"attempt": str(attempt.id), "network": attempt.as_org}
        await self._note("device.trust", user, last, by, why, now, facts)

    async def forget(self, user: str, fingerprint: str, by: Actor, why: str, now: float) -> None:
        """Its sessions end, its next login is that of a new browser, and no browser of the account goes without a
        second factor any more: which one each of those was is not known.
        """
        device = await self._found(user, fingerprint, now)
        await self._profiles.learn(user, lambda familiar: familiar.forgetting_device(fingerprint, now))
        remembered = await self._remembered.forget_devices(user)
        ended = await self._reader.sessions_by(user, fingerprint, now - self._sessions.refresh_ttl)
        await self._sessions.end(ended, FORGOTTEN, now)
        facts: dict[str, object] = {"remembered_devices": remembered}
        await self._note("device.forget", user, device.last, by, why, now, facts)

    async def _found(self, user: str, fingerprint: str, now: float) -> Device:
        for device in await self.of_user(user, now):
            if device.last.fingerprint == fingerprint:
                return device
        raise Problem(404, Reason.NOT_FOUND, "This account was not used by such a device.")

    async def _note(
        self, action: str, user: str, device: SeenDevice, by: Actor, why: str, now: float, facts: dict[str, object]
    ) -> None:
        whole: dict[str, object] = {
            "fingerprint": device.fingerprint,
            "user_agent": device.user_agent,
            "address": str(device.address),
            "country": device.country,
            **facts,
        }
        await self._audit.record_change(noted(action, user, by, why, now, None, whole))


def _standing(familiar: Familiar, fingerprint: str) -> Standing:
    if fingerprint in familiar.forgotten:
        return Standing.FORGOTTEN
    return Standing.KNOWN if fingerprint in familiar.fingerprints else Standing.NEW
