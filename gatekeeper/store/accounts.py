"""Accounts, setup links and signing keys in PostgreSQL. Implements the Protocols of identity and tokens."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from gatekeeper.clock import as_datetime
from gatekeeper.identity.accounts import Account
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.keyring import SealedKey
from gatekeeper.tokens.sessions import UserState

USER_COLUMNS = "u.id, u.email, u.email_verified, u.name, u.roles, u.locked, u.epoch, u.version, u.created_at"
_ACCOUNT = (
    f"SELECT {USER_COLUMNS}, u.must_verify, p.hash, p.must_change"  # noqa: S608  # columns
    " FROM users u LEFT JOIN passwords p ON p.user_id = u.id"
)
_END_SESSIONS = """
UPDATE sessions SET ended_at = %(now)s, end_reason = %(reason)s
WHERE user_id = %(user)s AND ended_at IS NULL AND id IS DISTINCT FROM %(keep)s
"""
_RAISE_EPOCH = f"""
UPDATE users u SET epoch = epoch + 1, version = version + 1, epoch_raised_at = %(now)s, updated_at = %(now)s
WHERE u.id = %(user)s RETURNING {USER_COLUMNS}
"""  # noqa: S608  # columns


def user_state(row: dict[str, Any]) -> UserState:
    """A row of ``users`` as the facts every request reads."""
    return UserState(
        id=str(row["id"]),
        email=row["email"],
        email_verified=row["email_verified"],
        name=row["name"],
        roles=tuple(row["roles"]),
        locked=row["locked"],
        epoch=row["epoch"],
        version=row["version"],
    )


def _account(row: dict[str, Any]) -> Account:
    return Account(
        user_state(row),
        row["created_at"].timestamp(),
        row["hash"],
        must_verify=row["must_verify"],
        must_change=bool(row["must_change"]),
    )


class PostgresAccounts:
    """Implements ``identity.accounts.AccountStore``."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(
        self,
        state: UserState,
        password_hash: str | None,
        now: float,
        *,
        must_verify: bool = False,
        must_change: bool = False,
    ) -> None:
        """One transaction for the user and the password."""
        at = as_datetime(now)
        async with self._postgres.transaction() as tx:
            await tx.execute(
                "INSERT INTO users (id, email, email_verified, name, roles, epoch_raised_at, created_at, updated_at,"
                " must_verify) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    *(uuid.UUID(state.id), state.email, state.email_verified, state.name, list(state.roles)),
                    *(at, at, at, must_verify),
                ),
            )
            if password_hash is not None:
                await tx.execute(
                    "INSERT INTO passwords (user_id, hash, changed_at, must_change) VALUES (%s, %s, %s, %s)",
                    (uuid.UUID(state.id), password_hash, at, must_change),
                )

    async def find(self, user: str) -> Account | None:
        row = await self._postgres.fetch_one(f"{_ACCOUNT} WHERE u.id = %s", (uuid.UUID(user),))
        return _account(row) if row else None

    async def find_by_email(self, email: str) -> Account | None:
        row = await self._postgres.fetch_one(f"{_ACCOUNT} WHERE u.email = %s", (email,))
        return _account(row) if row else None

    async def all(self) -> list[Account]:
        return [_account(row) for row in await self._postgres.fetch(f"{_ACCOUNT} ORDER BY u.created_at, u.id")]

    async def set_roles(self, user: str, roles: Sequence[str], now: float) -> UserState | None:
        row = await _write_one(
            self._postgres,
            "UPDATE users u SET roles = %s, version = version + 1, updated_at = %s"  # noqa: S608  # columns
            f" WHERE u.id = %s RETURNING {USER_COLUMNS}",
            (list(roles), as_datetime(now), uuid.UUID(user)),
        )
        return user_state(row) if row else None

    async def set_name(self, user: str, name: str | None, now: float) -> UserState | None:
        row = await _write_one(
            self._postgres,
            "UPDATE users u SET name = %s, version = version + 1, updated_at = %s"  # noqa: S608  # columns
            f" WHERE u.id = %s RETURNING {USER_COLUMNS}",
            (name, as_datetime(now), uuid.UUID(user)),
        )
        return user_state(row) if row else None

    async def set_locked(self, user: str, *, locked: bool, now: float) -> UserState | None:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(
                "UPDATE users u SET locked = %(locked)s, epoch = epoch + %(locked)s::int, version = version + 1,"  # noqa: S608
                " epoch_raised_at = CASE WHEN %(locked)s THEN %(now)s ELSE epoch_raised_at END, updated_at = %(now)s"
                f" WHERE u.id = %(user)s RETURNING {USER_COLUMNS}",
                {"locked": locked, "now": as_datetime(now), "user": uuid.UUID(user)},
            )
            if row and locked:
                await tx.execute(_END_SESSIONS, _ending(user, "locked", now, None))
        return user_state(row) if row else None

    async def raise_epoch(self, user: str, now: float, *, keep: str | None = None) -> UserState | None:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(_RAISE_EPOCH, {"now": as_datetime(now), "user": uuid.UUID(user)})
            await tx.execute(_END_SESSIONS, _ending(user, "logout", now, keep))
        return user_state(row) if row else None

    async def set_password(
        self, user: str, password_hash: str, now: float, *, keep: str | None, must_change: bool = False
    ) -> UserState | None:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(_RAISE_EPOCH, {"now": as_datetime(now), "user": uuid.UUID(user)})
            if row is None:
                return None
            await tx.execute(
                "INSERT INTO passwords (user_id, hash, changed_at, must_change) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (user_id) DO UPDATE SET hash = EXCLUDED.hash, changed_at = EXCLUDED.changed_at,"
                " must_change = EXCLUDED.must_change",
                (uuid.UUID(user), password_hash, as_datetime(now), must_change),
            )
            await tx.execute("DELETE FROM remembered_devices WHERE user_id = %s", (uuid.UUID(user),))
            # Whoever knew the old password must not take the account over by a change that waits for its mail, or by
            # the page for another password.
            await tx.execute(
                "DELETE FROM mail_links WHERE user_id = %s AND purpose IN ('change-email', 'change-password')",
                (uuid.UUID(user),),
            )
            await tx.execute(_END_SESSIONS, _ending(user, "password-changed", now, keep))
        return user_state(row)

    async def expire_password(self, user: str, now: float) -> UserState | None:
        async with self._postgres.transaction() as tx:
            if await tx.execute("UPDATE passwords SET must_change = true WHERE user_id = %s", (uuid.UUID(user),)) == 0:
                return None
            row = await tx.fetch_one(_RAISE_EPOCH, {"now": as_datetime(now), "user": uuid.UUID(user)})
            await tx.execute("DELETE FROM remembered_devices WHERE user_id = %s", (uuid.UUID(user),))
            await tx.execute(_END_SESSIONS, _ending(user, "password-expired", now, None))
        return user_state(row) if row else None

    async def rehash(self, user: str, old: str, new: str) -> None:
        await self._postgres.execute(
            "UPDATE passwords SET hash = %s WHERE user_id = %s AND hash = %s", (new, uuid.UUID(user), old)
        )

    async def drop_password(self, user: str) -> None:
        await self._postgres.execute("DELETE FROM passwords WHERE user_id = %s", (uuid.UUID(user),))

    async def has_admin(self) -> bool:
        row = await self._postgres.fetch_one(
            "SELECT 1 AS found FROM users WHERE 'admin' = ANY (roles) AND NOT locked LIMIT 1"
        )
        return row is not None


async def _write_one(postgres: Postgres, sql: str, params: object) -> dict[str, Any] | None:
    """A write with RETURNING, in a transaction: plain reads are retried, a write must not be."""
    async with postgres.transaction() as tx:
        return await tx.fetch_one(sql, params)  # type: ignore[arg-type]  # passed on as they are


def _ending(user: str, reason: str, now: float, keep: str | None) -> dict[str, object]:
    return {"user": uuid.UUID(user), "reason": reason, "now": as_datetime(now), "keep": keep}


class PostgresSetupLinks:
    """Links that make the first admin: hashed at rest, each good once."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, token_hash: bytes, *, now: float, until: float) -> None:
        """A new link; the older ones end."""
        async with self._postgres.transaction() as tx:
            await tx.execute("DELETE FROM setup_links")
            await tx.execute(
                "INSERT INTO setup_links (token_hash, created_at, expires_at) VALUES (%s, %s, %s)",
                (token_hash, as_datetime(now), as_datetime(until)),
            )

    async def good(self, token_hash: bytes, now: float) -> bool:
        """Whether the link could be used now."""
        row = await self._postgres.fetch_one(
            "SELECT 1 AS found FROM setup_links WHERE token_hash = %s AND expires_at > %s",
            (token_hash, as_datetime(now)),
        )
        return row is not None

    async def consume(self, token_hash: bytes, state: UserState, password_hash: str, now: float) -> bool:
        """Spend the link, and every other, and make the admin in one statement.

        Raises Conflict where the e-mail is taken.
        """
        at = as_datetime(now)
        row = await _write_one(
            self._postgres,
            """
            WITH asked AS (SELECT 1 FROM setup_links WHERE token_hash = %(hash)s AND expires_at > %(now)s),
            spent AS (DELETE FROM setup_links WHERE EXISTS (SELECT 1 FROM asked) RETURNING token_hash),
            made AS (
                INSERT INTO users (id, email, name, roles, epoch_raised_at, created_at, updated_at)
                SELECT %(id)s, %(email)s, %(name)s, %(roles)s, %(now)s, %(now)s, %(now)s
                FROM spent WHERE token_hash = %(hash)s RETURNING id)
            INSERT INTO passwords (user_id, hash, changed_at) SELECT id, %(password)s, %(now)s FROM made
            RETURNING user_id
            """,
            {
                "hash": token_hash,
                "now": at,
                "id": uuid.UUID(state.id),
                "email": state.email,
                "name": state.name,
                "roles": list(state.roles),
                "password": password_hash,
            },
        )
        return row is not None


class PostgresKeys:
    """Implements ``tokens.keyring.KeyStore``."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def load(self) -> list[SealedKey]:
        rows = await self._postgres.fetch("SELECT * FROM signing_keys ORDER BY created_at")
        return [
            SealedKey(
                kid=row["kid"],
                algorithm=row["algorithm"],
                purpose=row["purpose"],
                sealed=bytes(row["sealed"]),
                created_at=row["created_at"].timestamp(),
                not_before=row["not_before"].timestamp(),
                retired_at=row["retired_at"].timestamp() if row["retired_at"] else None,
            )
            for row in rows
        ]

    async def add_unless_present(self, key: SealedKey) -> None:
        async with self._postgres.transaction() as tx:
            await tx.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
            await tx.execute(
                """
                INSERT INTO signing_keys (kid, algorithm, purpose, sealed, created_at, not_before)
                SELECT %(kid)s, %(algorithm)s, %(purpose)s, %(sealed)s, %(created)s, %(start)s WHERE NOT EXISTS (
                    SELECT 1 FROM signing_keys
                    WHERE purpose = %(purpose)s AND algorithm = %(algorithm)s AND retired_at IS NULL)
                """,
                {
                    "kid": key.kid,
                    "algorithm": key.algorithm,
                    "purpose": key.purpose,
                    "sealed": key.sealed,
                    "created": as_datetime(key.created_at),
                    "start": as_datetime(key.not_before),
                },
            )
