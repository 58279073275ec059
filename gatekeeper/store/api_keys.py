"""API keys in PostgreSQL. Implements ``identity.api_keys.KeyStore`` and ``tokens.api_keys.KeyRecords``."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.identity.api_keys import ApiKey
from gatekeeper.store.accounts import user_state
from gatekeeper.store.postgres import Postgres, Transaction
from gatekeeper.tokens.api_keys import KeyRecord, KeyUse
from gatekeeper.tokens.sessions import UserState

_COLUMNS: Final = (
    "k.id, k.digest, k.user_id, k.name, k.start, k.scopes, k.networks::text[] AS networks, k.created_at, k.created_by,"
    " k.expires_at, k.revoked_at, k.successor, k.last_used_at, host(k.last_used_address) AS last_used_address,"
    " k.version"
)
_ADD: Final = """
INSERT INTO api_keys
    (id, digest, user_id, name, start, scopes, networks, created_at, created_by, changed_at, expires_at)
VALUES
    (%(id)s, %(digest)s, %(user)s, %(name)s, %(start)s, %(scopes)s, %(networks)s::cidr[], %(created)s, %(by)s,
     %(created)s, %(expires)s)
"""
_OWNER: Final = (
    "u.id AS owner, u.email, u.email_verified, u.name AS owner_name, u.roles, u.locked, u.epoch,"
    " u.version AS owner_version"
)


class PostgresApiKeys:
    """Every method is one statement, or one transaction of a few."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def load(self, digest: str) -> tuple[KeyRecord, UserState] | None:
        row = await self._postgres.fetch_one(
            f"SELECT {_COLUMNS}, {_OWNER} FROM api_keys k JOIN users u ON u.id = k.user_id"  # noqa: S608  # columns
            " WHERE k.digest = %s",
            (digest,),
        )
        if row is None:
            return None
        owner = {**row, "id": row["owner"], "name": row["owner_name"], "version": row["owner_version"]}
        return _api_key(row).record, user_state(owner)

    async def add(self, key: ApiKey, most: int) -> bool:
        async with self._postgres.transaction() as tx:
            # The owner's row is the lock: of two at once the later one counts the earlier.
            await tx.execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", (uuid.UUID(key.user_id),))
            row = await tx.fetch_one(
                "SELECT count(*) AS mine FROM api_keys WHERE user_id = %s AND revoked_at IS NULL"
                " AND (expires_at IS NULL OR expires_at > %s)",
                (uuid.UUID(key.user_id), as_datetime(key.created_at)),
            )
            if row is None or row["mine"] >= most:
                return False
            await _insert(tx, key)
        return True

    async def rotate(self, key: str, successor: ApiKey, until: float, now: float) -> ApiKey | None:
        async with self._postgres.transaction() as tx:
            found = await tx.fetch_one(
                "SELECT 1 AS found FROM api_keys WHERE id = %s AND user_id = %s AND revoked_at IS NULL"
                " AND successor IS NULL AND (expires_at IS NULL OR expires_at > %s) FOR UPDATE",
                (key, uuid.UUID(successor.user_id), as_datetime(now)),
            )
            if found is None:
                return None
            await _insert(tx, successor)
            row = await tx.fetch_one(
                "UPDATE api_keys k SET successor = %(successor)s, version = version + 1, changed_at = %(now)s,"  # noqa: S608
                " expires_at = least(expires_at, %(until)s)"
                f" WHERE id = %(id)s RETURNING {_COLUMNS}",
                {"successor": successor.id, "now": as_datetime(now), "until": as_datetime(until), "id": key},
            )
        return _api_key(row) if row else None

    async def revoke(self, key: str, by: str, now: float, *, owner: str | None = None) -> ApiKey | None:
        sql = (
            "UPDATE api_keys k SET revoked_at = coalesce(revoked_at, %(now)s),"  # noqa: S608  # columns
            " revoked_by = coalesce(revoked_by, %(by)s), version = version + 1, changed_at = %(now)s"
            f" WHERE id = %(id)s AND (%(owner)s::uuid IS NULL OR user_id = %(owner)s::uuid) RETURNING {_COLUMNS}"
        )
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(sql, {"now": as_datetime(now), "by": by, "id": key, "owner": owner})
        return _api_key(row) if row else None

    async def revoke_all(self, owner: str, by: str, now: float) -> list[ApiKey]:
        sql = (
            "UPDATE api_keys k SET revoked_at = %(now)s, revoked_by = %(by)s, version = version + 1,"  # noqa: S608
            f" changed_at = %(now)s WHERE user_id = %(owner)s AND revoked_at IS NULL RETURNING {_COLUMNS}"
        )
        async with self._postgres.transaction() as tx:
            rows = await tx.fetch(sql, {"now": as_datetime(now), "by": by, "owner": uuid.UUID(owner)})
        return [_api_key(row) for row in rows]

    async def of_user(self, user: str, since: float) -> list[ApiKey]:
        rows = await self._postgres.fetch(
            f"SELECT {_COLUMNS} FROM api_keys k WHERE user_id = %s AND revoked_at IS NULL"  # noqa: S608  # columns
            " AND (expires_at IS NULL OR expires_at > %s) ORDER BY created_at DESC, id LIMIT 500",
            (uuid.UUID(user), as_datetime(since)),
        )
        return [_api_key(row) for row in rows]

    async def find(self, key: str) -> tuple[ApiKey, UserState] | None:
        """A key by its id, with its owner."""
        row = await self._postgres.fetch_one("SELECT digest FROM api_keys WHERE id = %s", (key,))
        found = await self.load(row["digest"]) if row else None
        if found is None:
            return None
        keys = await self._postgres.fetch(f"SELECT {_COLUMNS} FROM api_keys k WHERE id = %s", (key,))  # noqa: S608
        return (_api_key(keys[0]), found[1]) if keys else None

    async def all(self) -> list[tuple[ApiKey, str]]:
        """Every key with its owner's e-mail, newest first."""
        rows = await self._postgres.fetch(
            f"SELECT {_COLUMNS}, u.email FROM api_keys k JOIN users u ON u.id = k.user_id"  # noqa: S608  # columns
            " ORDER BY k.created_at DESC, k.id LIMIT 10000"
        )
        return [(_api_key(row), row["email"]) for row in rows]

    async def write_uses(self, uses: Mapping[str, KeyUse]) -> None:
        """When keys were used last; an earlier use never replaces a later one."""
        names = list(uses)
        await self._postgres.execute(
            "UPDATE api_keys k SET last_used_at = used.time, last_used_address = used.address"
            " FROM unnest(%s::text[], %s::timestamptz[], %s::inet[]) AS used(id, time, address)"
            " WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at < used.time)",
            (
                names,
                [as_datetime(uses[name].time) for name in names],
                [str(uses[name].address) for name in names],
            ),
        )

    async def changed_since(self, since: float) -> AsyncIterator[list[KeyRecord]]:
        """Keys whose state may differ from an old copy in Redis, in batches (replay after a failover)."""
        sql = f"SELECT {_COLUMNS} FROM api_keys k WHERE changed_at > %s AND version > 1"  # noqa: S608  # columns
        async for rows in self._postgres.stream(sql, (as_datetime(since),)):
            yield [_api_key(row).record for row in rows]


async def _insert(tx: Transaction, key: ApiKey) -> None:
    values = {
        "id": key.id,
        "digest": key.digest,
        "user": uuid.UUID(key.user_id),
        "name": key.name,
        "start": key.start,
        "scopes": list(key.scopes),
        "networks": [str(network) for network in key.networks],
        "created": as_datetime(key.created_at),
        "by": key.created_by,
        "expires": None if key.expires_at is None else as_datetime(key.expires_at),
    }
    await tx.execute(_ADD, values)


def _api_key(row: Mapping[str, Any]) -> ApiKey:
    networks: Sequence[str] = row["networks"]
    return ApiKey(
        id=row["id"],
        digest=row["digest"],
        user_id=str(row["user_id"]),
        name=row["name"],
        start=row["start"],
        scopes=tuple(row["scopes"]),
        networks=tuple(ip_network(network) for network in networks),
        created_at=row["created_at"].timestamp(),
        created_by=row["created_by"],
        expires_at=_seconds(row["expires_at"]),
        revoked_at=_seconds(row["revoked_at"]),
        successor=row["successor"],
        last_used_at=_seconds(row["last_used_at"]),
        last_used_from=ip_address(row["last_used_address"]) if row["last_used_address"] else None,
        version=row["version"],
    )


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
