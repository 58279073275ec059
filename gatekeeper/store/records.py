"""The durable records in PostgreSQL: sessions and changes. Implements Protocols of tokens and journal."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from gatekeeper.clock import as_datetime
from gatekeeper.journal.audit import Change
from gatekeeper.store.accounts import user_state
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.durable import SessionOrigin, SessionRecord
from gatekeeper.tokens.sessions import Session, UserState
from policies.model import Address

SESSION_COLUMNS = (
    "s.id, s.user_id, s.started_at, s.expires_at, s.ended_at, s.end_reason, host(s.address) AS address,"
    " s.country, s.city, s.user_agent, s.amr"
)
_LONGEST_AGENT = 512


def _text(value: str, longest: int) -> str:
    """Client text as PostgreSQL takes it: no NUL, no lone surrogates, bounded."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:longest]


def session_record(row: dict[str, Any]) -> SessionRecord:
    """A record out of ``SESSION_COLUMNS``."""
    return SessionRecord(
        id=row["id"],
        user_id=str(row["user_id"]),
        started_at=row["started_at"].timestamp(),
        expires_at=row["expires_at"].timestamp(),
        ended_at=row["ended_at"].timestamp() if row["ended_at"] else None,
        end_reason=row["end_reason"],
        origin=SessionOrigin(ip_address(row["address"]), row["country"], row["user_agent"], row["city"]),
        amr=tuple(row["amr"]),
    )


class PostgresSessionRecords:
    """Implements ``tokens.sessions.SessionRecords``, and what replay and the panel read."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def started(self, session: Session, origin: SessionOrigin, now: float) -> None:
        await self._postgres.execute(
            "INSERT INTO sessions (id, user_id, started_at, expires_at, address, country, city, user_agent, amr)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                session.id,
                uuid.UUID(session.user_id),
                as_datetime(now),
                as_datetime(session.expires_at),
                str(origin.address),
                origin.country,
                origin.city,
                _text(origin.user_agent, _LONGEST_AGENT),
                list(session.amr),
            ),
        )

    async def ended(self, sessions: Sequence[str], reason: str, now: float) -> None:
        await self._postgres.execute(
            "UPDATE sessions SET ended_at = %s, end_reason = %s WHERE id = ANY (%s) AND ended_at IS NULL",
            (as_datetime(now), reason, list(sessions)),
        )

    async def open_of(self, user: str, now: float) -> list[SessionRecord]:
        rows = await self._postgres.fetch(
            f"SELECT {SESSION_COLUMNS} FROM sessions s WHERE user_id = %s AND ended_at IS NULL AND expires_at > %s"  # noqa: S608
            " ORDER BY started_at DESC LIMIT 200",
            (uuid.UUID(user), as_datetime(now)),
        )
        return [session_record(row) for row in rows]

    async def used_from(self, user: str, address: Address, since: float) -> bool:
        """Whether a session of ``user`` began at this address (IPv6: in its /64) since then."""
        network = ip_network((address, 32 if address.version == 4 else 64), strict=False)
        row = await self._postgres.fetch_one(
            "SELECT 1 AS one FROM sessions WHERE user_id = %s AND started_at > %s AND address <<= %s::inet LIMIT 1",
            (uuid.UUID(user), as_datetime(since), network),
        )
        return row is not None

    async def find(self, session: str) -> SessionRecord | None:
        """One record, ended or not."""
        row = await self._postgres.fetch_one(f"SELECT {SESSION_COLUMNS} FROM sessions s WHERE id = %s", (session,))  # noqa: S608
        return None if row is None else session_record(row)

    async def latest_open(self, count: int, now: float) -> list[tuple[SessionRecord, str]]:
        """The newest open sessions with their users' e-mails, for ``gatekeeper session``."""
        rows = await self._postgres.fetch(
            f"SELECT {SESSION_COLUMNS}, u.email FROM sessions s JOIN users u ON u.id = s.user_id"  # noqa: S608  # columns
            " WHERE ended_at IS NULL AND expires_at > %s ORDER BY started_at DESC LIMIT %s",
            (as_datetime(now), count),
        )
        return [(session_record(row), row["email"]) for row in rows]

    async def ended_and_unexpired(self, now: float) -> AsyncIterator[list[str]]:
        """Ids of ended sessions whose tokens could still be tried, in batches (replay after a failover)."""
        sql = "SELECT id FROM sessions WHERE ended_at IS NOT NULL AND expires_at > %s"
        async for rows in self._postgres.stream(sql, (as_datetime(now),)):
            yield [row["id"] for row in rows]

    async def users_changed_since(self, since: float) -> AsyncIterator[list[UserState]]:
        """Users whose state may differ from an old copy in Redis, in batches (replay after a failover)."""
        sql = (
            "SELECT id, email, email_verified, name, roles, locked, epoch, version FROM users WHERE updated_at > %s"
            " UNION ALL SELECT user_id, '', false, NULL, '{}', true, 1::bigint << 40, 1::bigint << 40"
            " FROM login_erasures WHERE erased_at > %s"  # a copy from before knows nothing of the end of an account
        )
        async for rows in self._postgres.stream(sql, (as_datetime(since), as_datetime(since))):
            yield [user_state(row) for row in rows]


class PostgresJournal:
    """Implements ``journal.audit.AuditLog``. ``on_change`` hears of each entry once it is written."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.on_change: Callable[[Change], None] = lambda _change: None

    async def record_change(self, change: Change) -> None:
        """One entry of the audit log."""
        await self.record_changes([change])

    async def record_changes(self, changes: Sequence[Change]) -> None:
        """Several in one statement, in this order: all or none."""
        if not changes:
            return
        rows = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s)"] * len(changes))
        await self._postgres.execute(
            "INSERT INTO audit_log (time, actor, action, subject, before, after, address, request_id)"  # noqa: S608
            f" VALUES {rows}",
            [value for change in changes for value in _audit_row(change)],
        )
        for change in changes:
            self.on_change(change)


def _audit_row(change: Change) -> tuple[object, ...]:
    after = change.said_after
    return (
        as_datetime(change.time),
        change.actor,
        change.action,
        change.subject,
        json.dumps(change.before) if change.before is not None else None,
        json.dumps(after) if after is not None else None,
        str(change.address) if change.address else None,
        change.request_id,
    )
