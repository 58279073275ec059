"""The outbox as admins see it. Implements ``gatekeeper.mail_desk.MailQueue``."""

from __future__ import annotations

import uuid
from typing import Any, Final
from urllib.parse import urlsplit

from gatekeeper.clock import as_datetime
from gatekeeper.events.hooks import WORTH
from gatekeeper.mail_desk import QueuedMessage, QueueState
from gatekeeper.notify.outbox import DECOY, EVENT
from gatekeeper.store.postgres import Postgres

# An event says what has happened, which is so whenever it comes; a mail with a code is of no use later.
_KEPT: Final = f"(sealed IS NOT NULL AND (until > %(now)s OR channel = '{EVENT}'))"
_CLAIMED: Final = "coalesce(claimed_until > %(now)s, false)"
_COLUMNS: Final = (
    "id, channel, kind, recipient, address, created_at, due_at, until, tries, fault, given_up_at,"
    f" {_CLAIMED} AS claimed, {_KEPT} AS kept"
)
_STATES: Final = {QueueState.WAITING: "given_up_at IS NULL", QueueState.GIVEN_UP: "given_up_at IS NOT NULL"}


class PostgresMailQueue:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def listed(
        self, state: QueueState, now: float, *, kind: str | None, count: int, after: tuple[float, uuid.UUID] | None
    ) -> list[QueuedMessage]:
        at, last = (None, None) if after is None else (as_datetime(after[0]), after[1])
        rows = await self._postgres.fetch(
            f"SELECT {_COLUMNS} FROM outbox WHERE channel <> '{DECOY}' AND {_STATES[state]}"  # noqa: S608  # own words
            " AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
            " AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(last)s::uuid))"
            " ORDER BY created_at DESC, id DESC LIMIT %(count)s",
            {"now": as_datetime(now), "kind": kind, "at": at, "last": last, "count": count},
        )
        return [_message(row) for row in rows]

    async def counts(self) -> dict[QueueState, int]:
        columns = ", ".join(f"count(*) FILTER (WHERE {where}) AS {state.name}" for state, where in _STATES.items())
        row = await self._postgres.fetch_one(
            f"SELECT {columns} FROM outbox WHERE channel <> '{DECOY}'"  # noqa: S608  # own words
        )
        return {state: 0 if row is None else int(row[state.name.lower()]) for state in QueueState}

    async def find(self, message: uuid.UUID, now: float) -> QueuedMessage | None:
        row = await self._postgres.fetch_one(
            f"SELECT {_COLUMNS} FROM outbox WHERE channel <> '{DECOY}' AND id = %(id)s",  # noqa: S608  # own words
            {"id": message, "now": as_datetime(now)},
        )
        return None if row is None else _message(row)

    async def retry(self, which: uuid.UUID | QueueState, now: float) -> list[QueuedMessage]:
        where, values = _which(which, now)
        rows = await self._postgres.fetch(
            "UPDATE outbox SET given_up_at = NULL, claimed_until = NULL, tries = 0, due_at = %(now)s,"  # noqa: S608
            f" until = CASE channel WHEN '{EVENT}' THEN greatest(until, %(worth)s) ELSE until END"
            f" WHERE {where} AND {_KEPT} RETURNING {_COLUMNS}",
            {**values, "worth": as_datetime(now + WORTH)},
        )
        return [_message(row) for row in rows]

    async def discard(self, which: uuid.UUID | QueueState, now: float) -> list[QueuedMessage]:
        where, values = _which(which, now)
        rows = await self._postgres.fetch(f"DELETE FROM outbox WHERE {where} RETURNING {_COLUMNS}", values)  # noqa: S608
        return [_message(row) for row in rows]


def _which(which: uuid.UUID | QueueState, now: float) -> tuple[str, dict[str, object]]:
    """The condition, and its values."""
    where = "id = %(which)s" if isinstance(which, uuid.UUID) else _STATES[which]
    return f"channel <> '{DECOY}' AND NOT {_CLAIMED} AND {where}", {"now": as_datetime(now), "which": which}


def _message(row: dict[str, Any]) -> QueuedMessage:
    times = {name: row[name].timestamp() for name in ("created_at", "due_at", "until")}
    given_up_at = row["given_up_at"]
    return QueuedMessage(
        id=row["id"],
        channel=row["channel"],
        kind=row["kind"],
        recipient=row["recipient"],
        host=urlsplit(row["address"]).hostname or "",
        tries=row["tries"],
        fault=row["fault"],
        given_up_at=None if given_up_at is None else given_up_at.timestamp(),
        claimed=row["claimed"],
        kept=row["kept"],
        **times,
    )
