"""Trusting the browser and the place of a login that the signals found odd, from the login itself."""

from __future__ import annotations

import uuid

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies.common import DoneTo, WhyBody
from admin.calls import acts
from admin.guard import Visit
from gatekeeper.errors import Problem
from gatekeeper.identity.device_desk import DeviceDesk
from gatekeeper.identity.user_desk import UserDesk, checked_why
from gatekeeper.journal.questions import LoginReader
from policies.model import Reason


class TrustView:
    """``P/admin/logins/{attempt}/trust`` and the same under ``api``."""

    def __init__(self, reader: LoginReader, users: UserDesk, desk: DeviceDesk) -> None:
        self._reader = reader
        self._users = users
        self._desk = desk

    @acts("logins/{attempt}/trust", "Trust the device of an attempt", WhyBody, DoneTo)
    async def trust(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """What the login came from is its user's own from now on."""
        why, name = checked_why(fields.get("why", "")), request.match_info["attempt"]
        try:
            attempt = await self._reader.find(uuid.UUID(name))
        except ValueError:
            attempt = None
        if attempt is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such attempt; it may be written in a moment.")
        if attempt.user_id is not None:
            await self._users.account(attempt.user_id)
        await self._desk.trust_attempt(attempt, visit.by, why, visit.now)
        return Done("device-trusted", f"logins/{attempt.id}", {"id": str(attempt.id)})
