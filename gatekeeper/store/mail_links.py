"""Links in mail, and what spending one does, each in one statement. Implements ``identity.links.LinkStore``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.identity.links import Link, LinkPurpose
from gatekeeper.store.accounts import USER_COLUMNS, user_state
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.sessions import UserState

_RESET: Final = f"""
WITH spent AS (
    DELETE FROM mail_links l USING users u
    WHERE l.token_hash = %(hash)s AND l.purpose IN ('reset', 'change-password') AND l.expires_at > %(now)s
      AND u.id = l.user_id AND u.email = l.email
    RETURNING l.user_id, l.purpose = 'reset' AS mailed),
changed AS (
    UPDATE users u SET epoch = epoch + 1, version = version + 1, epoch_raised_at = %(now)s, updated_at = %(now)s,
        email_verified = email_verified OR spent.mailed, must_verify = must_verify AND NOT spent.mailed
    FROM spent WHERE u.id = spent.user_id RETURNING {USER_COLUMNS}),
ended AS (
    UPDATE sessions s SET ended_at = %(now)s, end_reason = 'password-reset' FROM changed
    WHERE s.user_id = changed.id AND s.ended_at IS NULL),
pending AS (
    DELETE FROM mail_links l USING changed, spent
    WHERE l.user_id = changed.id AND l.token_hash <> %(hash)s
      AND l.purpose IN ('change-email', 'reset', 'change-password')),
written AS (
    INSERT INTO passwords (user_id, hash, changed_at) SELECT id, %(password)s, %(now)s FROM changed
    ON CONFLICT (user_id) DO UPDATE SET hash = EXCLUDED.hash, changed_at = EXCLUDED.changed_at, must_change = false)
SELECT * FROM changed
"""  # noqa: S608  # columns
_DISOWN: Final = f"""
WITH spent AS (
    DELETE FROM mail_links WHERE token_hash = %(hash)s AND purpose = 'not-me' AND expires_at > %(now)s
    RETURNING user_id, email, created_at),
changed AS (
    UPDATE users u SET epoch = epoch + 1, version = version + 1, epoch_raised_at = %(now)s, updated_at = %(now)s,
        email = spent.email, email_verified = true, must_verify = false
    FROM spent WHERE u.id = spent.user_id RETURNING {USER_COLUMNS}),
ended AS (
    UPDATE sessions s SET ended_at = %(now)s, end_reason = 'not-me' FROM spent
    WHERE s.user_id = spent.user_id AND s.ended_at IS NULL),
closed AS (DELETE FROM passwords p USING spent WHERE p.user_id = spent.user_id),
pending AS (
    DELETE FROM mail_links l USING spent
    WHERE l.user_id = spent.user_id AND l.purpose IN ('change-email', 'reset', 'change-password')),
devices AS (DELETE FROM remembered_devices d USING spent WHERE d.user_id = spent.user_id),
keys AS (DELETE FROM passkeys k USING spent WHERE k.user_id = spent.user_id AND k.created_at >= spent.created_at),
apps AS (
    DELETE FROM totp_secrets t USING spent WHERE t.user_id = spent.user_id AND t.confirmed_at >= spent.created_at),
codes AS (DELETE FROM recovery_codes c USING spent WHERE c.user_id = spent.user_id AND c.created_at >= spent.created_at)
SELECT * FROM changed
"""  # noqa: S608  # columns
_CONFIRM: Final = f"""
WITH spent AS (
    DELETE FROM mail_links l USING users u
    WHERE l.token_hash = %(hash)s AND l.expires_at > %(now)s AND u.id = l.user_id
      AND (l.purpose = 'change-email' OR (l.purpose = 'verify-email' AND l.email = u.email))
    RETURNING l.user_id, l.email)
UPDATE users u SET email = spent.email, email_verified = true, must_verify = false, version = version + 1,
    updated_at = %(now)s
FROM spent WHERE u.id = spent.user_id RETURNING {USER_COLUMNS}
"""  # noqa: S608  # columns
_CONFIRM_CODE: Final = f"""
WITH spent AS (
    DELETE FROM mail_links WHERE user_id = %(user)s AND email = %(email)s
      AND purpose IN ('verify-email', 'change-email'))
UPDATE users u SET email = %(email)s, email_verified = true, must_verify = false, version = version + 1,
    updated_at = %(now)s
WHERE u.id = %(user)s RETURNING {USER_COLUMNS}
"""  # noqa: S608  # columns
_ACCEPT: Final = f"""
WITH spent AS (
    DELETE FROM mail_links WHERE token_hash = %(hash)s AND purpose = 'invitation' AND expires_at > %(now)s
      AND email = %(email)s
    RETURNING email, roles),
made AS (
    INSERT INTO users AS u (id, email, email_verified, name, roles, epoch_raised_at, created_at, updated_at)
    SELECT %(id)s, email, true, %(name)s, roles, %(now)s, %(now)s, %(now)s FROM spent RETURNING {USER_COLUMNS}),
written AS (
    INSERT INTO passwords (user_id, hash, changed_at) SELECT id, %(password)s, %(now)s FROM made)
SELECT * FROM made
"""  # noqa: S608  # columns


class PostgresLinks:
    """One row a link."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, link: Link) -> None:
        values = {
            "hash": link.token_hash,
            "purpose": link.purpose,
            "user": uuid.UUID(link.user) if link.user else None,
            # An unknown e-mail costs the same work: nothing is deleted for a user who does not exist.
            "older": uuid.UUID(link.user) if link.user else uuid.uuid4(),
            "email": link.email,
            "roles": list(link.roles),
            "by": link.created_by,
            "created": as_datetime(link.created_at),
            "expires": as_datetime(link.expires_at),
        }
        await self._postgres.execute(
            "WITH older AS (DELETE FROM mail_links WHERE purpose = %(purpose)s AND purpose <> 'not-me'"
            " AND (user_id = %(older)s OR (user_id IS NULL AND purpose = 'invitation' AND email = %(email)s)))"
            " INSERT INTO mail_links (token_hash, purpose, user_id, email, roles, created_by, created_at, expires_at)"
            " VALUES (%(hash)s, %(purpose)s, %(user)s, %(email)s, %(roles)s, %(by)s, %(created)s, %(expires)s)",
            values,
        )

    async def find(self, token_hash: bytes, purposes: Sequence[LinkPurpose], now: float) -> Link | None:
        row = await self._postgres.fetch_one(
            "SELECT * FROM mail_links WHERE token_hash = %s AND purpose = ANY (%s) AND expires_at > %s"
            " AND email IS NOT NULL",
            (token_hash, list(purposes), as_datetime(now)),
        )
        return None if row is None else _link(row)

    async def reset(self, token_hash: bytes, password_hash: str, now: float) -> UserState | None:
        return await self._change(_RESET, {"hash": token_hash, "password": password_hash, "now": as_datetime(now)})

    async def confirm(self, token_hash: bytes, now: float) -> UserState | None:
        return await self._change(_CONFIRM, {"hash": token_hash, "now": as_datetime(now)})

    async def confirm_code(self, user: str, email: str, now: float) -> UserState | None:
        values = {"user": uuid.UUID(user), "email": email, "now": as_datetime(now)}
        return await self._change(_CONFIRM_CODE, values)

    async def disown(self, token_hash: bytes, now: float) -> UserState | None:
        return await self._change(_DISOWN, {"hash": token_hash, "now": as_datetime(now)})

    async def accept(self, token_hash: bytes, state: UserState, password_hash: str, now: float) -> UserState | None:
        values = {
            "hash": token_hash,
            "id": uuid.UUID(state.id),
            "email": state.email,
            "name": state.name,
            "password": password_hash,
            "now": as_datetime(now),
        }
        return await self._change(_ACCEPT, values)

    async def forget(self, before: float) -> None:
        """Remove links that expired before then."""
        await self._postgres.execute("DELETE FROM mail_links WHERE expires_at < %s", (as_datetime(before),))

    async def _change(self, sql: str, values: dict[str, object]) -> UserState | None:
        async with self._postgres.transaction() as tx:
            row = await tx.fetch_one(sql, values)
        return None if row is None else user_state(row)


def _link(row: dict[str, Any]) -> Link:
    return Link(
        token_hash=bytes(row["token_hash"]),
        purpose=LinkPurpose(row["purpose"]),
        user=str(row["user_id"]) if row["user_id"] else None,
        email=row["email"],
        created_at=row["created_at"].timestamp(),
        expires_at=row["expires_at"].timestamp(),
        roles=tuple(row["roles"]),
        created_by=row["created_by"],
    )
