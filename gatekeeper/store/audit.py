"""The audit log's seals in PostgreSQL, the newest one in Redis, and entries for people.

Implements ``journal.sealing.SealStore`` and ``HeadStore``; ``AuditReader`` is for ``gatekeeper audit`` and the panel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from gatekeeper.clock import as_datetime
from gatekeeper.journal.sealing import Entry, Head, Seal
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis

_LOCK: Final = 7022640041  # as migration 0067
_HEAD: Final = "gate:audit:head"
_ENTRY: Final = (
    "id, time, actor, action, subject, before::text AS before, after::text AS after,"
    " host(address) AS address, request_id"
)
_SEAL: Final = "number, last_id, entries, previous, hash, sealed_at"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEALS_A_READ: Final = 100


class PostgresSeals:
    """Entries and seals."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def waits(self) -> bool:
        row = await self._postgres.fetch_one(
            "SELECT EXISTS (SELECT FROM audit_log WHERE id >"
            " coalesce((SELECT last_id FROM audit_seals ORDER BY number DESC LIMIT 1), 0)) AS waits"
        )
        return bool(row and row["waits"])

    async def seal(self, make: Callable[[Seal | None, Sequence[Entry]], Seal], most: int) -> Seal | None:
        async with self._postgres.transaction() as transaction:
            # Whoever writes an entry holds it shared: those under way are waited for, others wait.
            await transaction.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            newest = await transaction.fetch_one(f"SELECT {_SEAL} FROM audit_seals ORDER BY number DESC LIMIT 1")  # noqa: S608
            after = newest["last_id"] if newest else 0
            sql = f"SELECT {_ENTRY} FROM audit_log WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608  # columns
            rows = await transaction.fetch(sql, (after, most))
            if not rows:
                return None
            seal = make(_seal(newest) if newest else None, [_entry(row) for row in rows])
            await transaction.execute(
                f"INSERT INTO audit_seals ({_SEAL}) VALUES (%s, %s, %s, %s, %s, %s)",  # noqa: S608
                (
                    seal.number,
                    seal.last_id,
                    seal.entries,
                    seal.previous,
                    seal.hash,
                    _EPOCH + seal.sealed_at * _MICROSECOND,
                ),
            )
        return seal

    async def find(self, number: int) -> Seal | None:
        row = await self._postgres.fetch_one(f"SELECT {_SEAL} FROM audit_seals WHERE number = %s", (number,))  # noqa: S608
        return _seal(row) if row else None

    async def seals(self) -> AsyncIterator[Seal]:
        number = -1
        sql = f"SELECT {_SEAL} FROM audit_seals WHERE number > %s ORDER BY number LIMIT %s"  # noqa: S608
        while rows := await self._postgres.fetch(sql, (number, _SEALS_A_READ)):
            for row in rows:
                yield _seal(row)
            number = rows[-1]["number"]

    async def entries(self, after: int, last: int) -> list[Entry]:
        sql = f"SELECT {_ENTRY} FROM audit_log WHERE id > %s AND id <= %s ORDER BY id"  # noqa: S608
        return [_entry(row) for row in await self._postgres.fetch(sql, (after, last))]

    async def covering(self, entry: int) -> Seal | None:
        sql = f"SELECT {_SEAL} FROM audit_seals WHERE last_id >= %s ORDER BY last_id LIMIT 1"  # noqa: S608
        row = await self._postgres.fetch_one(sql, (entry,))
        return _seal(row) if row else None

    async def newest_id(self) -> int:
        row = await self._postgres.fetch_one("SELECT coalesce(max(id), 0) AS id FROM audit_log")
        return int(row["id"]) if row else 0


class RedisHeads:
    """The newest seal, where nobody reaches who only gets at the database."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def remember(self, head: Head) -> None:
        await self._redis.call("SET", _HEAD, orjson.dumps({"number": head.number, "hash": head.hash.hex()}))

    async def head(self) -> Head | None:
        said = await self._redis.call("GET", _HEAD)
        if said is None:
            return None
        try:
            facts = orjson.loads(said)
            return Head(int(facts["number"]), bytes.fromhex(facts["hash"]))
        except (ValueError, TypeError, KeyError):
            return Head(0, b"")  # somebody else wrote there: a seal that there never was


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries: ``since`` and ``until`` in Unix seconds, ``action`` whole or as ``user.*``; ``before`` is the id
    that a page before ended with.
    """

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None


class AuditReader:
    """The audit log for people, the newest first. Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def page(self, asked: Asked, count: int) -> list[dict[str, Any]]:
        """At most ``count`` entries: id, time, actor, action, subject, before, after, address, request_id."""
        conditions, values = ["true"], list[object]()
        action = None if asked.action is None else asked.action.replace("\\", "\\\\").replace("%", "\\%")
        for condition, value in (
            ("actor = %s", asked.actor),
            ("action LIKE %s", action and action.replace("_", "\\_").replace("*", "%")),
            ("subject = %s", asked.subject),
            ("time >= %s", None if asked.since is None else as_datetime(asked.since)),
            ("time < %s", None if asked.until is None else as_datetime(asked.until)),
            ("id < %s", asked.before),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        columns = "id, time, actor, action, subject, before, after, host(address) AS address, request_id"
        where = " AND ".join(conditions)
        sql = f"SELECT {columns} FROM audit_log WHERE {where} ORDER BY id DESC LIMIT %s"  # noqa: S608  # conditions above
        return await self._postgres.fetch(sql, (*values, count))


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        id=row["id"],
        time=_microseconds(row["time"]),
        actor=row["actor"],
        action=row["action"],
        subject=row["subject"],
        before=row["before"],
        after=row["after"],
        address=row["address"],
        request_id=row["request_id"],
    )


def _seal(row: dict[str, Any]) -> Seal:
    return Seal(
        number=row["number"],
        last_id=row["last_id"],
        entries=bytes(row["entries"]),
        previous=bytes(row["previous"]),
        hash=bytes(row["hash"]),
        sealed_at=_microseconds(row["sealed_at"]),
    )


def _microseconds(when: datetime) -> int:
    return (when - _EPOCH) // _MICROSECOND
