"""The outbox in PostgreSQL. Implements ``notify.outbox.Outbox`` and ``notify.delivery.Waiting``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gatekeeper.clock import as_datetime
from gatekeeper.notify.outbox import EVENT, Parcel
from gatekeeper.store.postgres import Postgres


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How many parcels wait and were given up; ``fault`` is the newest one's."""

    waiting: int
    given_up: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class HookParcel:
    """What an operator sees of a parcel for a webhook."""

    id: uuid.UUID
    kind: str
    address: str
    created_at: datetime
    due_at: datetime
    tries: int
    fault: str | None
    given_up_at: datetime | None


class PostgresOutbox:
    """Parcels, oldest due first."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def put(self, parcels: Sequence[Parcel], now: float) -> None:
        await self._postgres.execute(*insertion(parcels, now))

    async def claim(
        self, count: int, *, now: float, until: float, channel: str | None = None, but: Sequence[str] = ()
    ) -> list[Parcel]:
        async with self._postgres.transaction() as tx:
            rows = await tx.fetch(
                "UPDATE outbox SET due_at = %(until)s, claimed_until = %(until)s, tries = tries + 1 WHERE id IN ("
                " SELECT id FROM outbox WHERE given_up_at IS NULL AND due_at <= %(now)s"
                " AND (%(channel)s::text IS NULL OR channel = %(channel)s) AND channel <> ALL (%(but)s)"
                " ORDER BY due_at LIMIT %(count)s"
                " FOR UPDATE SKIP LOCKED) RETURNING *",
                {
                    "now": as_datetime(now),
                    "until": as_datetime(until),
                    "count": count,
                    "channel": channel,
                    "but": list(but),
                },
            )
        return [_parcel(row) for row in rows]

    async def done(self, parcel: Parcel) -> None:
        await self._postgres.execute("DELETE FROM outbox WHERE id = %s", (parcel.id,))

    async def postpone(self, parcel: Parcel, due: float, fault: str) -> None:
        await self._postgres.execute(
            "UPDATE outbox SET due_at = %s, claimed_until = NULL, fault = %s WHERE id = %s",
            (as_datetime(due), fault, parcel.id),
        )

    async def give_up(self, parcel: Parcel, fault: str, now: float, *, keep: bool) -> None:
        await self._postgres.execute(
            "UPDATE outbox SET given_up_at = %s, claimed_until = NULL, fault = %s,"
            " sealed = CASE WHEN %s THEN sealed END WHERE id = %s",
            (as_datetime(now), fault, keep, parcel.id),
        )

    async def state(self) -> OutboxState:
        """For ``check`` and the metrics."""
        row = await self._postgres.fetch_one(
            "SELECT count(*) FILTER (WHERE given_up_at IS NULL AND channel <> 'none') AS waiting,"
            " count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up,"
            " (array_agg(fault ORDER BY given_up_at DESC NULLS LAST) FILTER (WHERE fault IS NOT NULL))[1] AS fault"
            " FROM outbox"
        )
        row = row or {"waiting": 0, "given_up": 0, "fault": None}
        return OutboxState(row["waiting"], row["given_up"], row["fault"])

    async def for_webhooks(self, count: int, parcels: Sequence[uuid.UUID] | None = None) -> list[HookParcel]:
        """What waits for webhooks or was given up, the newest first; only ``parcels`` where given."""
        rows = await self._postgres.fetch(
            "SELECT id, kind, address, created_at, due_at, tries, fault, given_up_at FROM outbox"
            " WHERE channel IN ('event', 'webhook') AND (%(ids)s::uuid[] IS NULL OR id = ANY (%(ids)s::uuid[]))"
            " ORDER BY created_at DESC, id LIMIT %(count)s",
            {"ids": _ids(parcels), "count": count},
        )
        return [HookParcel(**row) for row in rows]

    async def retry(self, parcels: Sequence[uuid.UUID] | None, *, now: float, until: float) -> int:
        """Send events that were given up again, all where None; how many there were whose content was kept."""
        rows = await self._postgres.fetch(
            "UPDATE outbox SET given_up_at = NULL, fault = NULL, tries = 0, due_at = %(now)s, until = %(until)s"
            " WHERE channel = 'event' AND given_up_at IS NOT NULL AND sealed IS NOT NULL"
            " AND (%(ids)s::uuid[] IS NULL OR id = ANY (%(ids)s::uuid[])) RETURNING id",
            {
                "ids": _ids(parcels),
                "now": as_datetime(now),
                "until": as_datetime(until),
            },
        )
        return len(rows)

    async def drop(self, parcels: Sequence[uuid.UUID] | None) -> int:
        """Forget what was given up on the way to webhooks, all where None; how many there were."""
        rows = await self._postgres.fetch(
            "DELETE FROM outbox WHERE channel IN ('event', 'webhook') AND given_up_at IS NOT NULL"
            " AND (%(ids)s::uuid[] IS NULL OR id = ANY (%(ids)s::uuid[])) RETURNING id",
            {"ids": _ids(parcels)},
        )
        return len(rows)

    async def forget(self, before: float, now: float) -> None:
        """Remove what was given up before then; and of the rest what it said, once that is of no use any more."""
        await self._postgres.execute("DELETE FROM outbox WHERE given_up_at < %s", (as_datetime(before),))
        await self._postgres.execute(
            "UPDATE outbox SET sealed = NULL WHERE given_up_at IS NOT NULL AND until <= %s AND channel <> %s"
            " AND sealed IS NOT NULL",
            (as_datetime(now), EVENT),
        )


def _ids(parcels: Sequence[uuid.UUID] | None) -> list[uuid.UUID] | None:
    return list(parcels) if parcels is not None else None


def _parcel(row: dict[str, Any]) -> Parcel:
    return Parcel(
        id=row["id"],
        channel=row["channel"],
        kind=row["kind"],
        sealed=bytes(row["sealed"]),
        until=row["until"].timestamp(),
        address=row["address"],
        tries=row["tries"],
    )


def insertion(parcels: Sequence[Parcel], now: float) -> tuple[str, list[object]]:
    """The statement that puts them in, all or none, and its values."""
    at = as_datetime(now)
    values: list[object] = []
    for parcel in parcels:
        until = as_datetime(parcel.until)
        values += [parcel.id, parcel.channel, parcel.kind, parcel.address, parcel.recipient, parcel.sealed]
        values += [at, at, until]
    rows = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s)"] * len(parcels))
    columns = "(id, channel, kind, address, recipient, sealed, created_at, due_at, until)"
    return f"INSERT INTO outbox {columns} VALUES {rows}", values  # noqa: S608  # columns
