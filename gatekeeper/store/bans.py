"""Bans in PostgreSQL: the truth, its history and its version. Implements ``policies.bans.BanStore``.

Used by ``gatekeeper.bans`` and by the commands.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from struct import Struct
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.postgres import Postgres, Transaction
from policies.bans import AUTOMATIC, LONGEST_REASON, Ban, BanKind, Entries, Source, Subject
from policies.model import Address

_PORTION: Final = 2_000  # bans read or written in one statement
_BEYOND: Final = 1 << 62  # an id that no row will ever have
_V4: Final = Struct(">xBxxIq")  # what inet_send says of IPv4 (family, bits, is_cidr, length, address), and the end
_V6: Final = Struct(">xBxxQQq")
COLUMNS: Final = "kind, subject, source, reason, actor, label, since, until, lifted_at, lifted_by"
_NEW: Final = """
(SELECT DISTINCT ON (kind, subject) *
 FROM unnest(%(kinds)s::text[], %(subjects)s::text[], %(sources)s::text[], %(reasons)s::text[], %(actors)s::text[],
             %(labels)s::text[], %(sinces)s::timestamptz[], %(untils)s::timestamptz[], %(yields)s::boolean[])
      WITH ORDINALITY AS given (kind, subject, source, reason, actor, label, since, until, yields, place)
 ORDER BY kind, subject, place DESC) AS new
"""
_REPLACE: Final = f"""
UPDATE bans SET lifted_at = %(now)s, lifted_by = 'replaced', version = %(version)s FROM {_NEW}
WHERE bans.kind = new.kind AND bans.subject = new.subject AND bans.lifted_at IS NULL
      AND NOT (new.yields AND (bans.until IS NULL OR bans.until >= new.until))
"""  # noqa: S608  # nothing of it is given from outside
_INSERT: Final = f"""
INSERT INTO bans (kind, subject, network, source, reason, actor, label, since, until, version)
SELECT kind, subject, CASE kind WHEN 'network' THEN subject::inet END, source, reason, actor, label, since, until,
       %(version)s
FROM {_NEW} ON CONFLICT (kind, subject) WHERE lifted_at IS NULL DO NOTHING
"""  # noqa: S608
# One row a portion: the bytes of its IPv4 and its IPv6 networks, and where the next portion begins.
_NETWORKS: Final = """
SELECT count(*) AS rows, max(version) AS version, (array_agg(id ORDER BY version DESC, id DESC))[1] AS id,
       string_agg(inet_send(network) || int8send(ending), '') FILTER (WHERE family(network) = 4) AS v4,
       string_agg(inet_send(network) || int8send(ending), '') FILTER (WHERE family(network) = 6) AS v6
FROM (SELECT version, id, network, {ending} AS ending FROM bans
      WHERE kind = 'network' AND (version, id) > (%(version)s, %(id)s) AND {which}
      ORDER BY version, id LIMIT %(portion)s) AS portion
"""
_OTHERS: Final = """
SELECT version, id, kind, subject, {ending} AS ending FROM bans
WHERE kind <> 'network' AND (version, id) > (%(version)s, %(id)s) AND {which}
ORDER BY version, id LIMIT %(portion)s
"""
_ENDED: Final = {"which": "lifted_at IS NOT NULL", "ending": "(-1)::bigint"}
_BEGUN: Final = {
    "which": "lifted_at IS NULL AND (until IS NULL OR until > %(now)s)",
    "ending": "coalesce(ceil(extract(epoch FROM until))::bigint, 0)",
}


class PostgresBans:
    """The table; each change is said to the other gates by ``tell``, which must not raise."""

    def __init__(self, postgres: Postgres, tell: Callable[[int], Awaitable[None]]) -> None:
        self._postgres = postgres
        self._tell = tell

    async def put(self, bans: Sequence[Ban], now: float) -> int:
        async with self._postgres.transaction() as transaction:
            version = await _next_version(transaction)
            for start in range(0, len(bans), _PORTION):
                parameters = _parameters(bans[start : start + _PORTION], now, version)
                await transaction.execute(_REPLACE, parameters)
                await transaction.execute(_INSERT, parameters)
        await self._tell(version)
        return version

    async def lift(self, subject: Subject, by: str, now: float) -> Ban | None:
        async with self._postgres.transaction() as transaction:
            version = await _next_version(transaction)
            row = await transaction.fetch_one(
                "UPDATE bans SET lifted_at = %s, lifted_by = %s, version = %s"  # noqa: S608  # columns
                " WHERE kind = %s AND subject = %s AND lifted_at IS NULL AND (until IS NULL OR until > %s)"
                f" RETURNING {COLUMNS}",
                (as_datetime(now), by, version, subject.kind, subject.text, as_datetime(now)),
            )
        await self._tell(version)
        return ban_of(row) if row else None

    async def find(self, subject: Subject, now: float) -> Ban | None:
        row = await self._postgres.fetch_one(
            f"SELECT {COLUMNS} FROM bans WHERE kind = %s AND subject = %s AND lifted_at IS NULL"  # noqa: S608
            " AND (until IS NULL OR until > %s)",
            (subject.kind, subject.text, as_datetime(now)),
        )
        return ban_of(row) if row else None

    async def reaching(self, address: Address, now: float) -> list[Ban]:
        rows = await self._postgres.fetch(
            f"SELECT {COLUMNS} FROM bans WHERE network >>= %s::inet AND lifted_at IS NULL"  # noqa: S608  # columns
            " AND (until IS NULL OR until > %s) ORDER BY masklen(network) DESC LIMIT 200",
            (str(address), as_datetime(now)),
        )
        return [ban_of(row) for row in rows]

    async def on_agents(self, now: float) -> list[Ban]:
        rows = await self._postgres.fetch(
            f"SELECT {COLUMNS} FROM bans WHERE kind = %s AND lifted_at IS NULL"  # noqa: S608  # columns
            " AND (until IS NULL OR until > %s) ORDER BY id",
            (BanKind.AGENT, as_datetime(now)),
        )
        return [ban_of(row) for row in rows]

    async def in_force(self, now: float) -> AsyncGenerator[list[Ban], None]:
        last = 0
        while True:
            rows = await self._postgres.fetch(
                f"SELECT id, {COLUMNS} FROM bans WHERE id > %s AND lifted_at IS NULL"  # noqa: S608  # columns
                " AND (until IS NULL OR until > %s) ORDER BY id LIMIT %s",
                (last, as_datetime(now), _PORTION),
            )
            if not rows:
                return
            last = rows[-1]["id"]
            yield [ban_of(row) for row in rows]

    async def history(self, subject: Subject, count: int = 50) -> list[Ban]:
        rows = await self._postgres.fetch(
            f"SELECT {COLUMNS} FROM bans WHERE kind = %s AND subject = %s ORDER BY id DESC LIMIT %s",  # noqa: S608
            (subject.kind, subject.text, count),
        )
        return [ban_of(row) for row in rows]

    async def version(self) -> int:
        row = await self._postgres.fetch_one("SELECT version FROM bans_version")
        return row["version"] if row else 0

    async def changes(self, since: int, now: float) -> AsyncGenerator[Entries, None]:
        parts = (_ENDED, _BEGUN) if since else (_BEGUN,)
        for part in parts:
            async with contextlib.aclosing(self._portions(part, since, now)) as portions:
                async for entries in portions:
                    yield entries

    async def _portions(self, part: dict[str, str], since: int, now: float) -> AsyncGenerator[Entries, None]:
        # From behind the last row of version `since`.
        start = {"version": since, "id": _BEYOND, "now": as_datetime(now), "portion": _PORTION}
        at: dict[str, Any] = dict(start)
        while True:
            row = await self._postgres.fetch_one(_NETWORKS.format(**part), at)
            if row is None or not row["rows"]:
                break
            at |= {"version": row["version"], "id": row["id"]}
            yield Entries(
                v4=[(value, bits, until) for bits, value, until in _V4.iter_unpack(row["v4"] or b"")],
                v6=[(high << 64 | low, bits, until) for bits, high, low, until in _V6.iter_unpack(row["v6"] or b"")],
            )
        at = start
        while rows := await self._postgres.fetch(_OTHERS.format(**part), at):
            at |= {"version": rows[-1]["version"], "id": rows[-1]["id"]}
            others = [(Subject(BanKind(row["kind"]), row["subject"]), row["ending"]) for row in rows]
            yield Entries(others=others)


async def _next_version(transaction: Transaction) -> int:
    row = await transaction.fetch_one("UPDATE bans_version SET version = version + 1 RETURNING version")
    if row is None:
        raise StoreUnavailable("postgres", "the version of the bans is missing")
    return int(row["version"])


def _parameters(bans: Sequence[Ban], now: float, version: int) -> dict[str, object]:
    return {
        "now": as_datetime(now),
        "version": version,
        "kinds": [str(ban.subject.kind) for ban in bans],
        "subjects": [ban.subject.text for ban in bans],
        "sources": [str(ban.source) for ban in bans],
        "reasons": [_text(ban.reason) for ban in bans],
        "actors": [ban.actor for ban in bans],
        "labels": [ban.label for ban in bans],
        "sinces": [as_datetime(ban.since) for ban in bans],
        "yields": [ban.source in AUTOMATIC for ban in bans],
        "untils": [None if ban.until is None else as_datetime(ban.until) for ban in bans],
    }


def _text(value: str) -> str:
    """As PostgreSQL takes it: no NUL, no lone surrogates, bounded."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:LONGEST_REASON]


def ban_of(row: dict[str, Any]) -> Ban:
    """A ban out of ``COLUMNS``."""
    return Ban(
        subject=Subject(BanKind(row["kind"]), row["subject"]),
        source=Source(row["source"]),
        since=row["since"].timestamp(),
        until=row["until"].timestamp() if row["until"] else None,
        reason=row["reason"],
        actor=row["actor"],
        label=row["label"],
        lifted_at=row["lifted_at"].timestamp() if row["lifted_at"] else None,
        lifted_by=row["lifted_by"],
    )
