"""What the panel reads of PostgreSQL, by key and never by offset. Implements ``admin.lists.PanelReader``."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final

from admin.lists import (
    REFUSALS,
    Busy,
    ChangeFilter,
    ChangeRow,
    MostRefused,
    OpenedBy,
    Place,
    SessionFilter,
    ShownFactor,
)
from gatekeeper.clock import as_datetime
from gatekeeper.store.panel_users import HAS_PIECES, PIECE
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import SESSION_COLUMNS, session_record
from gatekeeper.tokens.durable import SessionRecord

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _account(column: str) -> str:
    """A text as the id of an account, where it may be one; asked once a row, not once an account."""
    return f"(SELECT CASE WHEN {column} ~ '^{_UUID.pattern}$' THEN {column}::uuid END)"


_OPENED_BY: Final = {  # RFC 8176
    OpenedBy.PASSWORD: "'pwd' = ANY (s.amr)",
    OpenedBy.CODE: "s.amr[1] = 'otp'",
    OpenedBy.PASSKEY: "s.amr[1] IN ('hwk', 'swk')",
}
_SHOWN: Final = {
    ShownFactor.NONE: "NOT 'mfa' = ANY (s.amr)",
    ShownFactor.ANY: "'mfa' = ANY (s.amr)",
    ShownFactor.PASSKEY: "'mfa' = ANY (s.amr) AND s.amr && ARRAY['hwk', 'swk']",
}
_FEW: Final = 1000  # accounts
_MOST: Final = """
(SELECT '{column}' AS kind, {shown} AS value, count(*) AS attempts, NULL::timestamptz AS reach FROM newest
 WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY attempts DESC, {column} LIMIT %s)"""
_MOST_REFUSED: Final = f"""
WITH newest AS MATERIALIZED (
    SELECT address, email, time FROM login_logs WHERE time >= %s AND result <> 'success' ORDER BY time DESC LIMIT %s
)
{_MOST.format(column="address", shown="host(address)")}
UNION ALL {_MOST.format(column="email", shown="email")}
UNION ALL SELECT 'all', NULL, count(*), min(time) FROM newest"""  # noqa: S608  # columns
# What somebody is called is looked up for the rows of a page only; actors and subjects may be other than accounts.
CHANGE: Final = f"""
a.id, a.time, a.actor, (SELECT email FROM users WHERE id = {_account("a.actor")}) AS actor_email, a.action,
a.subject, (SELECT email FROM users WHERE id = {_account("a.subject")}) AS subject_email,
a.before, a.after, host(a.address) AS address, a.request_id
"""  # noqa: S608  # columns
# What an account may be called in the audit log: as it was asked for, and by its id.
_NAMES: Final = "SELECT DISTINCT unnest(ARRAY[%s, (SELECT id::text FROM users WHERE email = lower(%s))]) AS name"


class PostgresPanel:
    """Each method is one statement, or two where sessions are asked for by a part of an e-mail."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def sessions(
        self, wanted: SessionFilter, now: float, *, count: int, after: Place | None = None
    ) -> list[tuple[SessionRecord, str]]:
        where, params = await self._sessions_where(wanted, now)
        if after is not None:
            where.append("(s.started_at, s.id) < (%s, %s)")
            params += [as_datetime(after.at), after.id]
        rows = await self._postgres.fetch(
            f"SELECT {SESSION_COLUMNS}, u.email FROM sessions s JOIN users u ON u.id = s.user_id"  # noqa: S608
            f" WHERE {' AND '.join(where)} ORDER BY s.started_at DESC, s.id DESC LIMIT %s",
            [*params, count],
        )
        return [(session_record(row), row["email"]) for row in rows]

    async def session(self, session: str) -> tuple[SessionRecord, str] | None:
        row = await self._postgres.fetch_one(
            f"SELECT {SESSION_COLUMNS}, u.email FROM sessions s JOIN users u ON u.id = s.user_id"  # noqa: S608
            " WHERE s.id = %s",
            (session,),
        )
        return None if row is None else (session_record(row), row["email"])

    async def count_sessions(self, wanted: SessionFilter, now: float) -> int:
        where, params = await self._sessions_where(wanted, now)
        row = await self._postgres.fetch_one(
            f"SELECT count(*) AS sessions FROM sessions s WHERE {' AND '.join(where)}",  # noqa: S608
            params,
        )
        return int(row["sessions"]) if row else 0

    async def _sessions_where(self, wanted: SessionFilter, now: float) -> tuple[list[str], list[object]]:
        where, params = ["s.ended_at IS NULL", "s.expires_at > %s"], list[object]([as_datetime(now)])
        conditions: Sequence[tuple[str, object]] = (
            ("s.user_id = %s", None if wanted.user_id is None else uuid.UUID(wanted.user_id)),
            ("s.address <<= %s::inet", wanted.network),
            ("coalesce(s.country, '') = %s", wanted.country),
            ("strpos(lower(s.user_agent), lower(%s)) > 0", wanted.agent),
            ("strpos(lower(s.city), lower(%s)) > 0", wanted.city),
            ("s.started_at < %s", None if wanted.started_before is None else as_datetime(wanted.started_before)),
            ("s.started_at <= %s", None if wanted.seen_before is None else as_datetime(wanted.seen_before)),
        )
        where += [_OPENED_BY[wanted.method]] if wanted.method is not None else []
        where += [_SHOWN[wanted.factor]] if wanted.factor is not None else []
        for condition, value in conditions:
            if value is not None:
                where.append(condition)
                params.append(value)
        if wanted.email is not None:
            whose, value = await self._whose(wanted.email)
            where.append(whose)
            params.append(value)
        return where, params

    async def _whose(self, part: str) -> tuple[str, object]:
        """The condition for sessions of those who have ``part`` in their e-mail: of the few by who they are, since the
        planner cannot tell few from many.
        """
        where, params = ["strpos(u.email, lower(%s)) > 0"], list[object]([part])
        if len(part) >= PIECE:
            where.append(HAS_PIECES)
            params.append(part)
        rows = await self._postgres.fetch(
            f"SELECT u.id FROM users u WHERE {' AND '.join(where)}"  # noqa: S608  # conditions from above
            " ORDER BY u.created_at DESC, u.id DESC LIMIT %s",
            [*params, _FEW + 1],
        )
        if len(rows) <= _FEW:
            return "s.user_id = ANY (%s::uuid[])", [str(row["id"]) for row in rows]
        return "s.user_id IN (SELECT id FROM users WHERE strpos(email, lower(%s)) > 0)", part

    async def changes(self, wanted: ChangeFilter, *, count: int, after: int | None = None) -> list[ChangeRow]:
        where, params = _changes_where(wanted, after)
        source, named = "(SELECT 1) AS names", list[object]()
        asked = [(column, value) for column, value in (("actor", wanted.actor), ("subject", wanted.subject)) if value]
        if asked:
            # The newest of each name by its index: for a rare one the planner would look through all changes instead.
            (column, value), *others = asked
            where.append(f"{column} = names.name")
            source, named = f"({_NAMES}) AS names", [value, value]
            for column, value in others:
                where.append(f"{column} IN ({_NAMES})")
                params += [value, value]
        rows = await self._postgres.fetch(
            f"SELECT {CHANGE} FROM {source} CROSS JOIN LATERAL (SELECT * FROM audit_log"  # noqa: S608
            f" WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT %s) AS a ORDER BY a.id DESC LIMIT %s",
            [*named, *params, count, count],
        )
        return [change_row(row) for row in rows]

    async def change(self, number: int) -> ChangeRow | None:
        sql = f"SELECT {CHANGE} FROM audit_log a WHERE a.id = %s"  # noqa: S608  # columns
        row = await self._postgres.fetch_one(sql, (number,))
        return None if row is None else change_row(row)

    async def emails(self, users: Collection[str]) -> dict[str, str]:
        ids = [one for one in users if _UUID.fullmatch(one)]
        if not ids:
            return {}
        rows = await self._postgres.fetch("SELECT id, email FROM users WHERE id = ANY(%s::uuid[])", (ids,))
        return {str(row["id"]): row["email"] for row in rows}

    async def most_refused(self, since: float, *, count: int) -> MostRefused:
        rows = await self._postgres.fetch(_MOST_REFUSED, (as_datetime(since), REFUSALS, count, count))
        addresses, emails = (
            [Busy(row["value"], row["attempts"]) for row in rows if row["kind"] == kind]
            for kind in ("address", "email")
        )
        looked_at = next(row for row in rows if row["kind"] == "all")
        cut = looked_at["attempts"] >= REFUSALS
        return MostRefused(addresses, emails, looked_at["reach"].timestamp() if cut else None)

    async def waiting_mail(self) -> tuple[int, int]:
        row = await self._postgres.fetch_one(
            "SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting,"
            " count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up FROM outbox WHERE channel <> 'none'"
        )
        return (row["waiting"], row["given_up"]) if row else (0, 0)


def change_row(row: dict[str, Any]) -> ChangeRow:
    """A row of ``CHANGE``."""
    return ChangeRow(**{**row, "time": row["time"].timestamp()})


def _changes_where(wanted: ChangeFilter, after: int | None) -> tuple[list[str], list[object]]:
    """All but who and to whom."""
    where, params = ["true"], list[object]()
    conditions: Sequence[tuple[str, object]] = (
        ("starts_with(action, %s)", wanted.action),
        ("time >= %s", None if wanted.since is None else as_datetime(wanted.since)),
        ("time < %s", None if wanted.until is None else as_datetime(wanted.until)),
        ("id < %s", after),
    )
    for condition, value in conditions:
        if value is not None:
            where.append(condition)
            params.append(value)
    return where, params
