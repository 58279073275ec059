"""Where login attempts came from. Implements ``admin.places.PlaceReader``; built by ``gatekeeper.app.panel``.

What only asks for a time, a result or a place is answered from counts that are kept while attempts are written;
anything else from the newest attempts that fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from admin.places import Found, Spot
from gatekeeper.clock import as_datetime
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Count, Grain, LoginFilter
from gatekeeper.store.login_reader import conditions
from gatekeeper.store.login_rows import PLACED
from gatekeeper.store.postgres import Postgres

_DAY: Final = 86_400.0
_SAMPLE: Final = 10_000  # attempts that are looked at where no counts are kept
_MOST: Final = 5000  # places
_PLACE: Final = "country, city, latitude, longitude"
_SUMS: Final = ", ".join(f"sum({one}) AS {one}" for one in Result)
_ROWS: Final = f"SELECT date_trunc(%s, time, 'UTC') AS bucket, {PLACED}, result FROM login_logs"  # noqa: S608


class PostgresLoginPlaces:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def spots(self, wanted: LoginFilter, grain: Grain) -> Found:
        """As ``PlaceReader`` says."""
        if (asked := _counted(wanted, _in_time(wanted, grain))) is None:
            return await self._spots_of_rows(wanted, grain)
        where, params = asked
        rows = await self._postgres.fetch(
            f"WITH sums AS (SELECT place, {_SUMS} FROM login_place_counts WHERE {where} GROUP BY place)"  # noqa: S608
            f" SELECT {_PLACE}, {', '.join(Result)} FROM sums JOIN login_places ON id = place"
            f" WHERE {_total(wanted)} > 0 ORDER BY {_total(wanted)} DESC, {_PLACE} LIMIT %s",
            [*params, _MOST],
        )
        return Found([_spot(row, _results(row, wanted)) for row in rows], len(rows) < _MOST)

    async def times(self, wanted: LoginFilter, grain: Grain) -> Sequence[Count]:
        """As ``PlaceReader`` says."""
        if (asked := _counted(wanted, _in_grain(wanted, grain))) is None:
            sql, params = _newest(wanted, grain)
            rows = await self._postgres.fetch(
                f"SELECT bucket, result, count(*) AS attempts FROM ({sql}) AS found"  # noqa: S608
                " GROUP BY bucket, result ORDER BY bucket, result",
                params,
            )
            return [Count(row["bucket"].timestamp(), (row["result"],), row["attempts"], 0) for row in rows]
        if wanted.area is None:
            return await self._times_anywhere(wanted, grain)
        where, params = asked
        rows = await self._postgres.fetch(
            f"SELECT bucket, {_SUMS} FROM login_place_counts WHERE {where} GROUP BY bucket ORDER BY bucket",  # noqa: S608
            params,
        )
        return [
            Count(row["bucket"].timestamp(), (result,), attempts, 0)
            for row in rows
            for result, attempts in sorted(_results(row, wanted).items())
        ]

    async def _times_anywhere(self, wanted: LoginFilter, grain: Grain) -> Sequence[Count]:
        """Out of fewer rows than there are by place."""
        rows = await self._postgres.fetch(
            "SELECT bucket, result, sum(attempts)::bigint AS attempts FROM login_counts"
            " WHERE grain = %s AND bucket >= %s AND bucket < %s AND (%s::text IS NULL OR country = %s)"
            " AND (%s::text IS NULL OR result = %s) GROUP BY bucket, result HAVING sum(attempts) > 0 ORDER BY 1, 2",
            [
                *(grain, as_datetime(wanted.since or 0.0), as_datetime(wanted.until or 0.0)),
                *(wanted.country, wanted.country, wanted.result, wanted.result),
            ],
        )
        return [Count(row["bucket"].timestamp(), (row["result"],), row["attempts"], 0) for row in rows]

    async def _spots_of_rows(self, wanted: LoginFilter, grain: Grain) -> Found:
        sql, params = _newest(wanted, grain)
        rows = await self._postgres.fetch(
            f"WITH found AS ({sql}) SELECT {_PLACE}, jsonb_object_agg(result, attempts) AS attempts,"  # noqa: S608
            " (SELECT count(*) FROM found) AS looked_at"
            f" FROM (SELECT {_PLACE}, result, count(*) AS attempts FROM found GROUP BY {_PLACE}, result) AS sums"
            f" GROUP BY {_PLACE} ORDER BY sum(attempts) DESC, {_PLACE} LIMIT %s",
            [*params, _MOST],
        )
        all_seen = not rows or rows[0]["looked_at"] < _SAMPLE
        return Found([_spot(row, row["attempts"]) for row in rows], all_seen and len(rows) < _MOST)


Condition = tuple[str, list[object]]


def _counted(wanted: LoginFilter, time: Condition) -> Condition | None:
    """Which counts, and the parameters for them; None where there are none by what is asked for."""
    counted = LoginFilter(
        since=wanted.since, until=wanted.until, result=wanted.result, country=wanted.country, area=wanted.area
    )
    if counted != wanted:
        return None
    where, params = conditions(LoginFilter(area=wanted.area))
    if wanted.country is not None:
        where.append("country = %s")
        params.append(wanted.country)
    if not where:
        return time
    of_place = f"{time[0]} AND place = ANY (ARRAY(SELECT id FROM login_places WHERE {' AND '.join(where)}))"  # noqa: S608
    return of_place, [*time[1], *params]


def _in_grain(wanted: LoginFilter, grain: Grain) -> Condition:
    return _between(grain, wanted.since or 0.0, wanted.until or 0.0)


def _in_time(wanted: LoginFilter, grain: Grain) -> Condition:
    """Whole days by day, where only their sum is asked for, and by hour what is before and after them."""
    since, until = wanted.since or 0.0, wanted.until or 0.0
    first, last = math.ceil(since / _DAY) * _DAY, until // _DAY * _DAY
    if grain is not Grain.HOUR or first >= last:
        return _between(grain, since, until)
    parts = [_between(Grain.HOUR, since, first), _between(Grain.DAY, first, last), _between(Grain.HOUR, last, until)]
    return f"({' OR '.join(sql for sql, _ in parts)})", [value for _, params in parts for value in params]


def _between(grain: Grain, since: float, until: float) -> Condition:
    return "(grain = %s AND bucket >= %s AND bucket < %s)", [grain, as_datetime(since), as_datetime(until)]


def _newest(wanted: LoginFilter, grain: Grain) -> tuple[str, list[object]]:
    where, params = conditions(wanted)
    return f"{_ROWS} WHERE {' AND '.join(where)} ORDER BY time DESC, id DESC LIMIT {_SAMPLE}", [grain, *params]


def _total(wanted: LoginFilter) -> str:
    return str(wanted.result or " + ".join(Result))


def _results(row: dict[str, Any], wanted: LoginFilter) -> dict[str, int]:
    """The results that are asked for, where there were any."""
    return {str(one): row[one] for one in Result if row[one] and wanted.result in {None, one}}


def _spot(row: dict[str, Any], attempts: dict[str, int]) -> Spot:
    known = not math.isnan(row["latitude"])
    latitude, longitude = (row["latitude"], row["longitude"]) if known else (None, None)
    return Spot(row["country"], row["city"], latitude, longitude, attempts)
