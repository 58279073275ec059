"""The panel's list of accounts, by key and never by offset. Implements ``admin.user_lists.UserReader``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from admin.lists import Place
from admin.user_lists import Found, Held, State, UserFilter, UserRow
from gatekeeper.clock import as_datetime
from gatekeeper.store.postgres import Postgres

PIECE: Final = 3  # letters; shorter parts are looked for in every account
HAS_PIECES: Final = "trigrams(u.email || ' ' || lower(coalesce(u.name, ''))) @> trigrams(lower(%s))"
_APP: Final = "EXISTS (SELECT FROM totp_secrets t WHERE t.user_id = u.id AND confirmed_at IS NOT NULL)"
_PASSKEY: Final = "EXISTS (SELECT FROM passkeys p WHERE p.user_id = u.id)"
_USER: Final = f"""
u.id, u.email, u.email_verified, u.name, u.roles, u.locked, u.created_at, {_APP} AS app,
(SELECT max(started_at) FROM sessions s WHERE s.user_id = u.id) AS last_login,
(SELECT count(*) FROM sessions s WHERE s.user_id = u.id AND ended_at IS NULL AND expires_at > %s) AS open_sessions,
(SELECT count(*) FROM passkeys p WHERE p.user_id = u.id) AS passkeys
"""  # noqa: S608  # columns
_STATES: Final[Mapping[State, str]] = {
    State.ACTIVE: "NOT u.locked",
    State.LOCKED: "u.locked",
    State.UNVERIFIED: "NOT u.email_verified",
    State.MUST_CHANGE: "EXISTS (SELECT FROM passwords w WHERE w.user_id = u.id AND w.must_change)",
}
_HELD: Final[Mapping[Held, str]] = {
    Held.NONE: f"NOT {_APP} AND NOT {_PASSKEY}",
    Held.ANY: f"({_APP} OR {_PASSKEY})",
    Held.APP: _APP,
    Held.PASSKEY: _PASSKEY,
}
_UNSEEN: Final = "NOT EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id AND s.started_at >= %s)"


class PostgresUsers:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def users(self, wanted: UserFilter, now: float, *, count: int, after: Place | None = None) -> list[UserRow]:
        where, params = _where(wanted, after)
        rows = await self._postgres.fetch(
            f"SELECT {_USER} FROM users u WHERE {' AND '.join(where)}"  # noqa: S608  # conditions from above
            " ORDER BY u.created_at DESC, u.id DESC LIMIT %s",
            [as_datetime(now), *params, count],
        )
        return [_user_row(row) for row in rows]

    async def places(self, wanted: UserFilter, *, count: int, after: Place | None = None) -> list[Place]:
        where, params = _where(wanted, after)
        rows = await self._postgres.fetch(
            f"SELECT u.id, u.created_at FROM users u WHERE {' AND '.join(where)}"  # noqa: S608  # conditions from above
            " ORDER BY u.created_at DESC, u.id DESC LIMIT %s",
            [*params, count],
        )
        return [Place(row["created_at"].timestamp(), str(row["id"])) for row in rows]

    async def count_users(self, wanted: UserFilter) -> Found:
        where, params = _where(wanted)
        row = await self._postgres.fetch_one(
            "SELECT count(*) AS users, count(*) FILTER (WHERE 'admin' = ANY (u.roles)) AS admins"  # noqa: S608
            f" FROM users u WHERE {' AND '.join(where)}",
            params,
        )
        return Found(row["users"], row["admins"]) if row else Found(0, 0)


def _where(wanted: UserFilter, after: Place | None = None) -> tuple[list[str], list[object]]:
    where, params = ["true"], list[object]()
    if after is not None:
        where.append("(u.created_at, u.id) < (%s, %s)")
        params += [as_datetime(after.at), uuid.UUID(after.id)]
    if wanted.but is not None:
        where.append("u.id <> %s")
        params.append(uuid.UUID(wanted.but))
    if wanted.text is not None:
        where.append("(strpos(u.email, lower(%s)) > 0 OR strpos(lower(u.name), lower(%s)) > 0)")
        params += [wanted.text, wanted.text]
        if len(wanted.text) >= PIECE:
            where.append(HAS_PIECES)
            params.append(wanted.text)
    if wanted.role is not None:
        where.append("%s = ANY (u.roles)")
        params.append(wanted.role)
    if wanted.state is not None:
        where.append(_STATES[wanted.state])
    if wanted.factor is not None:
        where.append(_HELD[wanted.factor])
    if wanted.unseen_since is not None:
        where.append(_UNSEEN)
        params.append(as_datetime(wanted.unseen_since))
    return where, params


def _user_row(row: dict[str, Any]) -> UserRow:
    return UserRow(
        id=str(row["id"]),
        email=row["email"],
        email_verified=row["email_verified"],
        name=row["name"],
        roles=tuple(row["roles"]),
        locked=row["locked"],
        created_at=row["created_at"].timestamp(),
        last_login=row["last_login"].timestamp() if row["last_login"] else None,
        open_sessions=row["open_sessions"],
        app=row["app"],
        passkeys=row["passkeys"],
    )
