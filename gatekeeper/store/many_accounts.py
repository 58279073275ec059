"""Changes of many accounts at once. Implements ``identity.bulk_desk.ManyAccounts``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.identity.bulk_desk import Altered
from gatekeeper.store.accounts import USER_COLUMNS, user_state
from gatekeeper.store.postgres import Postgres, Transaction

_OLD: Final = (
    "FROM (SELECT o.id, o.locked AS was_locked, o.epoch AS was_epoch FROM users o WHERE o.id = ANY (%(users)s::uuid[])"
    " ORDER BY o.id FOR UPDATE) AS old WHERE u.id = old.id"
)
_SET: Final = "UPDATE users u SET version = version + 1, updated_at = %(now)s"
_NEW_EPOCH: Final = "epoch = epoch + 1, epoch_raised_at = %(now)s"
_CHANGED: Final = f"RETURNING {USER_COLUMNS}, old.was_locked, old.was_epoch"
_END_SESSIONS: Final = (
    "UPDATE sessions SET ended_at = %(now)s, end_reason = %(reason)s"
    " WHERE user_id = ANY (%(users)s::uuid[]) AND ended_at IS NULL"
)


class PostgresManyAccounts:
    """Each method is one transaction; rows are locked in one order, so that two at once do not wait for each other."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def lock(self, users: Sequence[str], now: float) -> list[Altered]:
        async with self._postgres.transaction() as tx:
            sql = f"{_SET}, locked = true, {_NEW_EPOCH} {_OLD} AND NOT old.was_locked {_CHANGED}"
            return await _alter(tx, sql, users, now, ending="locked")

    async def unlock(self, users: Sequence[str], now: float) -> list[Altered]:
        async with self._postgres.transaction() as tx:
            return await _alter(tx, f"{_SET}, locked = false {_OLD} AND old.was_locked {_CHANGED}", users, now)

    async def log_out(self, users: Sequence[str], now: float) -> list[Altered]:
        async with self._postgres.transaction() as tx:
            return await _alter(tx, f"{_SET}, {_NEW_EPOCH} {_OLD} {_CHANGED}", users, now, ending="logout")

    async def expire_passwords(self, users: Sequence[str], now: float) -> list[Altered]:
        """Who has to choose another password already is passed over too."""
        async with self._postgres.transaction() as tx:
            rows = await tx.fetch(
                "UPDATE passwords SET must_change = true WHERE user_id = ANY (%s::uuid[]) AND NOT must_change"
                " RETURNING user_id",
                (_ids(users),),
            )
            owners = [str(row["user_id"]) for row in rows]
            await tx.execute("DELETE FROM remembered_devices WHERE user_id = ANY (%s::uuid[])", (_ids(owners),))
            return await _alter(tx, f"{_SET}, {_NEW_EPOCH} {_OLD} {_CHANGED}", owners, now, ending="password-expired")


async def _alter(
    tx: Transaction, sql: str, users: Sequence[str], now: float, *, ending: str | None = None
) -> list[Altered]:
    """With ``ending`` (the reason) the durable sessions of the changed ones end."""
    rows = await tx.fetch(sql, {"users": _ids(users), "now": as_datetime(now)})
    states = [(user_state(row), row) for row in rows]
    altered = [
        Altered(replace(after, locked=row["was_locked"], epoch=row["was_epoch"], version=after.version - 1), after)
        for after, row in states
    ]
    if ending is not None and altered:
        changed = _ids([one.after.id for one in altered])
        await tx.execute(_END_SESSIONS, {"users": changed, "now": as_datetime(now), "reason": ending})
    return altered


def _ids(users: Sequence[str]) -> list[str]:
    return [str(uuid.UUID(user)) for user in users]
