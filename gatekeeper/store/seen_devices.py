"""The browsers that accounts were used from, out of the login log. Implements ``identity.device_desk.DeviceReader``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.identity.device_desk import LOOKED_AT, SeenDevice
from gatekeeper.store.postgres import Postgres

_DEVICES: Final = """
WITH newest AS (
    SELECT fingerprint, user_agent, address, country, city, time FROM login_logs
    WHERE user_id = %s AND result = 'success' AND time > %s ORDER BY time DESC, id DESC LIMIT %s),
latest AS (
    SELECT DISTINCT ON (fingerprint) *, count(*) OVER (PARTITION BY fingerprint) AS logins FROM newest
    WHERE fingerprint IS NOT NULL ORDER BY fingerprint, time DESC)
SELECT fingerprint, user_agent, host(address) AS address, country, city, time, logins FROM latest
ORDER BY time DESC, fingerprint DESC
"""


class PostgresSeenDevices:
    """Each method is one statement over an account's newest logins."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def devices_of(self, user: str, since: float) -> list[SeenDevice]:
        rows = await self._postgres.fetch(_DEVICES, (uuid.UUID(user), as_datetime(since), LOOKED_AT))
        return [
            SeenDevice(
                fingerprint=row["fingerprint"],
                user_agent=row["user_agent"],
                address=ip_address(row["address"]),
                country=row["country"],
                city=row["city"],
                seen_at=row["time"].timestamp(),
                logins=row["logins"],
            )
            for row in rows
        ]

    async def sessions_by(self, user: str, fingerprint: str, since: float) -> Sequence[str]:
        rows = await self._postgres.fetch(
            "SELECT DISTINCT l.session FROM login_logs l JOIN sessions s ON s.id = l.session"
            " WHERE l.user_id = %s AND l.time > %s AND l.result = 'success' AND l.fingerprint = %s"
            " AND s.user_id = l.user_id AND s.ended_at IS NULL",
            (uuid.UUID(user), as_datetime(since), fingerprint),
        )
        return [row["session"] for row in rows]
