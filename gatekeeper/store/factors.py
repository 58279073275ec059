"""Second factors in PostgreSQL. Implements the Protocols of ``identity.factors.records``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gatekeeper.clock import as_datetime
from gatekeeper.errors import Conflict
from gatekeeper.identity.factors.records import Factors, Passkey, TotpSecret
from gatekeeper.store.postgres import Postgres

_LONGEST_AGENT = 512


class PostgresFactors:
    """Every method is one statement, or one transaction of a few."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def factors_of(self, user: str, now: float) -> Factors:
        row = await self._postgres.fetch_one(
            "SELECT (SELECT count(*) FROM recovery_codes WHERE user_id = %(user)s AND used_at IS NULL) AS codes,"
            " (SELECT count(*) FROM remembered_devices WHERE user_id = %(user)s AND expires_at > %(now)s) AS devices,"
            " t.confirmed_at, t.last_used_at FROM (SELECT 1) AS one LEFT JOIN totp_secrets t ON t.user_id = %(user)s",
            {"user": uuid.UUID(user), "now": as_datetime(now)},
        )
        passkeys = await self.passkeys(user)
        if row is None:
            return Factors(passkeys=tuple(passkeys))
        return Factors(
            totp_since=_seconds(row["confirmed_at"]),
            totp_last_used=_seconds(row["last_used_at"]),
            passkeys=tuple(passkeys),
            recovery_codes_left=row["codes"],
            remembered_devices=row["devices"],
        )

    async def reset(self, user: str) -> None:
        async with self._postgres.transaction() as tx:
            for table in ("totp_secrets", "recovery_codes", "passkeys", "remembered_devices"):
                await tx.execute(f"DELETE FROM {table} WHERE user_id = %s", (uuid.UUID(user),))  # noqa: S608  # names

    async def begin_totp(self, user: str, sealed: bytes, now: float) -> None:
        await self._postgres.execute(
            "INSERT INTO totp_secrets (user_id, pending, pending_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET pending = EXCLUDED.pending, pending_at = EXCLUDED.pending_at",
            (uuid.UUID(user), sealed, as_datetime(now)),
        )

    async def pending_totp(self, user: str, since: float) -> bytes | None:
        row = await self._postgres.fetch_one(
            "SELECT pending FROM totp_secrets WHERE user_id = %s AND pending IS NOT NULL AND pending_at > %s",
            (uuid.UUID(user), as_datetime(since)),
        )
        return bytes(row["pending"]) if row else None

    async def confirm_totp(self, user: str, sealed: bytes, step: int, now: float) -> bool:
        changed = await self._postgres.execute(
            "UPDATE totp_secrets SET sealed = pending, last_step = %(step)s, confirmed_at = %(now)s,"
            " last_used_at = %(now)s, pending = NULL, pending_at = NULL"
            " WHERE user_id = %(user)s AND pending = %(sealed)s",
            {"user": uuid.UUID(user), "sealed": sealed, "step": step, "now": as_datetime(now)},
        )
        return changed == 1

    async def totp(self, user: str) -> TotpSecret | None:
        row = await self._postgres.fetch_one(
            "SELECT sealed, last_step FROM totp_secrets WHERE user_id = %s AND sealed IS NOT NULL", (uuid.UUID(user),)
        )
        return TotpSecret(bytes(row["sealed"]), row["last_step"]) if row else None

    async def spend_step(self, user: str, sealed: bytes, step: int, now: float) -> bool:
        changed = await self._postgres.execute(
            "UPDATE totp_secrets SET last_step = %(step)s, last_used_at = %(now)s"
            " WHERE user_id = %(user)s AND sealed = %(sealed)s AND last_step < %(step)s",
            {"user": uuid.UUID(user), "sealed": sealed, "step": step, "now": as_datetime(now)},
        )
        return changed == 1

    async def remove_totp(self, user: str) -> bool:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(
                "DELETE FROM totp_secrets WHERE user_id = %s RETURNING sealed IS NOT NULL AS had", (uuid.UUID(user),)
            )
        return bool(row and row["had"])

    async def replace_codes(self, user: str, hashes: Sequence[bytes], now: float) -> None:
        async with self._postgres.transaction() as tx:
            # The user's row is the lock: of two renewals at once the later one's codes are the good ones.
            await tx.execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", (uuid.UUID(user),))
            await tx.execute("DELETE FROM recovery_codes WHERE user_id = %s", (uuid.UUID(user),))
            await tx.execute(
                "INSERT INTO recovery_codes (user_id, hash, created_at) SELECT %s, unnest(%s::bytea[]), %s",
                (uuid.UUID(user), list(hashes), as_datetime(now)),
            )

    async def spend_code(self, user: str, digest: bytes, now: float) -> bool:
        changed = await self._postgres.execute(
            "UPDATE recovery_codes SET used_at = %s WHERE user_id = %s AND hash = %s AND used_at IS NULL",
            (as_datetime(now), uuid.UUID(user), digest),
        )
        return changed == 1

    async def add_passkey(self, passkey: Passkey) -> bool:
        try:
            await self._postgres.execute(
                "INSERT INTO passkeys (id, user_id, credential, public_data, name, sign_count, synced, transports,"
                " created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    uuid.UUID(passkey.id),
                    uuid.UUID(passkey.user_id),
                    passkey.credential,
                    passkey.public_data,
                    passkey.name,
                    passkey.sign_count,
                    passkey.synced,
                    list(passkey.transports),
                    as_datetime(passkey.created_at),
                ),
            )
        except Conflict:
            return False
        return True

    async def passkeys(self, user: str) -> list[Passkey]:
        rows = await self._postgres.fetch(
            "SELECT * FROM passkeys WHERE user_id = %s ORDER BY created_at, id", (uuid.UUID(user),)
        )
        return [_passkey(row) for row in rows]

    async def passkey(self, credential: bytes) -> Passkey | None:
        row = await self._postgres.fetch_one("SELECT * FROM passkeys WHERE credential = %s", (credential,))
        return _passkey(row) if row else None

    async def count_signature(self, passkey: str, count: int, now: float) -> bool:
        changed = await self._postgres.execute(
            "UPDATE passkeys SET sign_count = %(count)s, last_used_at = %(now)s"
            " WHERE id = %(id)s AND (sign_count < %(count)s OR (sign_count = 0 AND %(count)s = 0))",
            {"id": uuid.UUID(passkey), "count": count, "now": as_datetime(now)},
        )
        return changed == 1

    async def remove_passkey(self, user: str, passkey: str) -> Passkey | None:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(
                "DELETE FROM passkeys WHERE id = %s AND user_id = %s RETURNING *",
                (uuid.UUID(passkey), uuid.UUID(user)),
            )
        return _passkey(row) if row else None

    async def remember_device(self, digest: bytes, user: str, user_agent: str, *, now: float, until: float) -> None:
        await self._postgres.execute(
            "INSERT INTO remembered_devices (id, user_id, user_agent, created_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (digest, uuid.UUID(user), _text(user_agent), as_datetime(now), as_datetime(until)),
        )

    async def is_remembered(self, digest: bytes, user: str, now: float) -> bool:
        row = await self._postgres.fetch_one(
            "SELECT 1 AS found FROM remembered_devices WHERE id = %s AND user_id = %s AND expires_at > %s",
            (digest, uuid.UUID(user), as_datetime(now)),
        )
        return row is not None

    async def forget_devices(self, user: str) -> int:
        return await self._postgres.execute("DELETE FROM remembered_devices WHERE user_id = %s", (uuid.UUID(user),))


def _passkey(row: dict[str, Any]) -> Passkey:
    return Passkey(
        id=str(row["id"]),
        user_id=str(row["user_id"]),
        credential=bytes(row["credential"]),
        public_data=bytes(row["public_data"]),
        name=row["name"],
        sign_count=row["sign_count"],
        synced=row["synced"],
        transports=tuple(row["transports"]),
        created_at=row["created_at"].timestamp(),
        last_used_at=_seconds(row["last_used_at"]),
    )


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _text(value: str) -> str:
    """Client text as PostgreSQL takes it: no NUL, no lone surrogates, bounded."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:_LONGEST_AGENT]
