"""Reads the login log: pages, counts, exports. Implements ``journal.questions.LoginReader``; built by app and cli."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.journal.attempts import Attempt, made_at
from gatekeeper.journal.questions import Count, CountFilter, Dimension, Grain, LoginFilter, Seen, Share, Shared
from gatekeeper.journal.rows import from_row
from gatekeeper.store.login_rows import READ
from gatekeeper.store.postgres import Postgres

_AT_ONCE: Final = 1000  # rows of an export that are in memory
_ROUNDED: Final = 0.002  # seconds by which a row's time and the milliseconds in its id may differ
_LATEST: Final = 253_402_300_000.0  # the end of the year 9999, behind which there is no datetime
_EQUAL: Final = ("result", "reason", "method", "email", "asn", "session")
_EQUAL_OR_UNKNOWN: Final = ("country", "device_kind", "browser", "os")

#: A row as programs get it (docs/login-log.md); ``journal.rows.public`` makes the same of an Attempt.
LINE: Final = """
json_build_object(
    'id', id, 'time', to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'email', email, 'user_id', user_id, 'result', result, 'reason', reason, 'method', method, 'factor', factor,
    'address', host(address), 'country', country,
    'place', json_build_object('region', region, 'city', city, 'latitude', latitude, 'longitude', longitude,
                               'accuracy_km', accuracy_km),
    'asn', asn, 'as_org', as_org,
    'device', json_build_object('kind', device_kind, 'browser', browser, 'browser_version', browser_version,
                                'os', os, 'os_version', os_version, 'id', device_id, 'user_agent', user_agent),
    'fingerprint', fingerprint, 'session', session, 'signals', signals, 'evidence', evidence, 'risk', risk,
    'action', action, 'request_id', request_id, 'latency_ms', latency_ms
)::text AS line"""

# A client chooses what its browser is called: there may be very many, so that the rest is summed here.
_SHARES: Final = """
WITH sums AS (
    SELECT value, sum(attempts)::bigint AS attempts, row_number() OVER (ORDER BY sum(attempts) DESC, value) AS place
    FROM login_shares WHERE grain = %s AND kind = %s AND bucket >= %s AND bucket < %s GROUP BY value
)
SELECT CASE WHEN place <= %s THEN value END AS value, sum(attempts)::bigint AS attempts FROM sums
GROUP BY 1 ORDER BY min(place)
"""

_TOTALS: Final = f"""
SELECT {", ".join(Dimension)}, sum(attempts + suppressed)::bigint AS total FROM login_counts
WHERE grain = %s AND bucket >= %s AND bucket < %s
GROUP BY GROUPING SETS ({", ".join(f"({one})" for one in Dimension)})
"""  # noqa: S608  # columns


class PostgresLoginReader:
    """Reads of any length; a page and a chart take milliseconds, over ten million rows too."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def page(self, wanted: LoginFilter, *, count: int, after: Seen | None = None) -> list[Attempt]:
        """As ``LoginReader`` says."""
        return [from_row(row) for row in await self._newest(READ, wanted, count, after)]

    async def portion(
        self, wanted: LoginFilter, *, count: int, after: Seen | None = None
    ) -> tuple[list[str], Seen | None]:
        """As ``LoginReader`` says."""
        rows = await self._newest(f"{LINE}, time, id", wanted, count, after)
        last = Seen(rows[-1]["time"].timestamp(), rows[-1]["id"]) if len(rows) == count else None
        return [row["line"] for row in rows], last

    async def _newest(self, columns: str, wanted: LoginFilter, count: int, after: Seen | None) -> list[dict[str, Any]]:
        where, params = conditions(wanted)
        if after is not None:
            where.append("(time, id) < (%s, %s)")
            params += [as_datetime(after.time), after.id]
        return await self._postgres.fetch(
            f"SELECT {columns} FROM login_logs{_all_of(where)} ORDER BY time DESC, id DESC LIMIT %s",  # noqa: S608
            [*params, count],
        )

    async def find(self, attempt: uuid.UUID) -> Attempt | None:
        """As ``LoginReader`` says. An id that does not tell its time is looked for in every month, without an index."""
        around, moment = "", made_at(attempt)
        params: list[object] = [attempt]
        if moment is not None:
            if moment > _LATEST:
                return None
            around = " AND time BETWEEN %s AND %s"
            params += [as_datetime(moment - _ROUNDED), as_datetime(moment + _ROUNDED)]
        row = await self._postgres.fetch_one(
            f"SELECT {READ} FROM login_logs WHERE id = %s{around} LIMIT 1",  # noqa: S608  # columns
            params,
        )
        return from_row(row) if row else None

    async def known(self, attempts: Sequence[Attempt]) -> set[uuid.UUID]:
        """Which of these are in the database."""
        if not attempts:
            return set()
        times = sorted(as_datetime(attempt.time) for attempt in attempts)
        rows = await self._postgres.fetch(
            "SELECT id FROM login_logs WHERE time BETWEEN %s AND %s AND id = ANY (%s::uuid[])",
            (times[0], times[-1], [str(attempt.id) for attempt in attempts]),
        )
        return {row["id"] for row in rows}

    async def counts(self, grain: Grain, wanted: CountFilter, by: Sequence[Dimension] = ()) -> list[Count]:
        """As ``LoginReader`` says."""
        where = ["grain = %s", "bucket >= %s", "bucket < %s"]
        params: list[object] = [grain, as_datetime(wanted.since), as_datetime(wanted.until)]
        for name in Dimension:
            value = getattr(wanted, name)
            if value is not None:
                where.append(f"{name} = %s")
                params.append(value)
        columns = ", ".join(["bucket", *by])
        rows = await self._postgres.fetch(
            f"SELECT {columns}, sum(attempts)::bigint AS attempts, sum(suppressed)::bigint AS suppressed"  # noqa: S608
            f" FROM login_counts{_all_of(where)} GROUP BY {columns} ORDER BY {columns}",
            params,
        )
        return [
            Count(row["bucket"].timestamp(), tuple(row[name] for name in by), row["attempts"], row["suppressed"])
            for row in rows
        ]

    async def totals(self, grain: Grain, since: float, until: float) -> dict[Dimension, dict[str, int]]:
        """As ``LoginReader`` says."""
        found: dict[Dimension, dict[str, int]] = {one: {} for one in Dimension}
        for row in await self._postgres.fetch(_TOTALS, (grain, as_datetime(since), as_datetime(until))):
            by = next(one for one in Dimension if row[one] is not None)
            found[by][row[by]] = row["total"]
        return found

    async def shares(self, kind: Shared, grain: Grain, since: float, until: float, *, most: int) -> list[Share]:
        """As ``LoginReader`` says."""
        rows = await self._postgres.fetch(_SHARES, (grain, kind, as_datetime(since), as_datetime(until), most))
        return [Share(row["value"], row["attempts"]) for row in rows]

    async def lines(self, wanted: LoginFilter) -> AsyncGenerator[list[str], None]:
        """Every row that fits as a line of JSON, the oldest first, some at a time and in constant memory."""
        where, params = conditions(wanted)
        sql = f"SELECT {LINE} FROM login_logs{_all_of(where)} ORDER BY time, id"  # noqa: S608
        async with contextlib.aclosing(self._postgres.stream(sql, params, batch=_AT_ONCE)) as batches:
            async for rows in batches:
                yield [row["line"] for row in rows]


def conditions(wanted: LoginFilter) -> tuple[list[str], list[object]]:
    """Conditions, and the parameters for them."""
    where: list[str] = []
    params: list[object] = []

    def add(condition: str, value: object) -> None:
        if value is not None:
            where.append(condition)
            params.append(value)

    add("time >= %s", None if wanted.since is None else as_datetime(wanted.since))
    add("time < %s", None if wanted.until is None else as_datetime(wanted.until))
    for name in _EQUAL:
        add(f"{name} = %s", getattr(wanted, name))
    add("user_id = %s", None if wanted.user_id is None else uuid.UUID(wanted.user_id))
    if wanted.network is not None and wanted.network.num_addresses == 1:
        add("address = %s::inet", wanted.network.network_address)
    else:
        add("address <<= %s::inet", wanted.network)
    for name in _EQUAL_OR_UNKNOWN:
        value = getattr(wanted, name)
        if value == "":
            where.append(f"{name} IS NULL")
        else:
            add(f"{name} = %s", value)
    if (area := wanted.area) is not None:
        where.append("latitude BETWEEN %s AND %s AND longitude BETWEEN %s AND %s")
        params += [area.south, area.north, area.west, area.east]
    # Those with signals have an index of their own, and whatever has a risk has signals.
    add("signals <> '{}' AND signals @> ARRAY[%s]", wanted.signal)
    add("signals <> '{}' AND risk >= %s", wanted.risk)
    return where, params


def _all_of(where: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""
