"""Where login attempts came from. Implements ``admin.places.PlaceReader``; built by ``gatekeeper.app.panel``.

What only asks for a time, a result or a place is answered from counts that are kept while attempts are written;
anything else from the newest attempts that fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from admin.places import Found, Spot
from gatekeeper.clock import as_datetime
from gatekeeper.journal.questions import Count, Grain, LoginFilter
from gatekeeper.store.login_reader import conditions
from gatekeeper.store.postgres import Postgres

_SAMPLE: Final = 10_000  # attempts that are looked at where no counts are kept
_MOST: Final = 5000  # places
_PLACE: Final = "country, city, latitude, longitude"
_COUNTS: Final = f"SELECT bucket, {_PLACE}, result, attempts FROM login_places"  # noqa: S608
_ROWS: Final = """
SELECT date_trunc(%s, time, 'UTC') AS bucket, coalesce(country, '') AS country, coalesce(city, '') AS city,
       coalesce(round(latitude::numeric, 1)::double precision, 'NaN') AS latitude,
       coalesce(round(longitude::numeric, 1)::double precision, 'NaN') AS longitude, result, 1 AS attempts
FROM login_logs"""


class PostgresLoginPlaces:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def spots(self, wanted: LoginFilter, grain: Grain) -> Found:
        """As ``PlaceReader`` says."""
        source, params, counted = _source(wanted, grain)
        rows = await self._postgres.fetch(
            f"WITH found AS ({source}) SELECT {_PLACE}, jsonb_object_agg(result, attempts) AS attempts,"  # noqa: S608
            " (SELECT count(*) FROM found) AS looked_at"
            f" FROM (SELECT {_PLACE}, result, sum(attempts)::bigint AS attempts FROM found"
            f" GROUP BY {_PLACE}, result) AS sums"
            f" GROUP BY {_PLACE} ORDER BY sum(attempts) DESC, {_PLACE} LIMIT %s",
            [*params, _MOST],
        )
        spots = [_spot(row) for row in rows]
        all_seen = counted or not rows or rows[0]["looked_at"] < _SAMPLE
        return Found(spots, all_seen and len(spots) < _MOST)

    async def times(self, wanted: LoginFilter, grain: Grain) -> Sequence[Count]:
        """As ``PlaceReader`` says."""
        source, params, _ = _source(wanted, grain)
        rows = await self._postgres.fetch(
            f"SELECT bucket, result, sum(attempts)::bigint AS attempts FROM ({source}) AS found"  # noqa: S608
            " GROUP BY bucket, result ORDER BY bucket, result",
            params,
        )
        return [Count(row["bucket"].timestamp(), (row["result"],), row["attempts"], 0) for row in rows]


def _source(wanted: LoginFilter, grain: Grain) -> tuple[str, list[object], bool]:
    """What is counted, its parameters, and whether it is counts already."""
    counted = LoginFilter(
        since=wanted.since, until=wanted.until, result=wanted.result, country=wanted.country, area=wanted.area
    )
    if counted != wanted:
        where, params = conditions(wanted)
        sql = f"{_ROWS} WHERE {' AND '.join(where)} ORDER BY time DESC, id DESC LIMIT {_SAMPLE}"
        return sql, [grain, *params], False
    where, params = conditions(replace(wanted, since=None, until=None, country=None))
    where += ["grain = %s", "bucket >= %s", "bucket < %s"]
    params += [grain, as_datetime(wanted.since or 0.0), as_datetime(wanted.until or 0.0)]
    if wanted.country is not None:
        where.append("country = %s")
        params.append(wanted.country)
    return f"{_COUNTS} WHERE {' AND '.join(where)}", params, True


def _spot(row: dict[str, Any]) -> Spot:
    known = not math.isnan(row["latitude"])
    latitude, longitude = (row["latitude"], row["longitude"]) if known else (None, None)
    return Spot(row["country"], row["city"], latitude, longitude, dict(row["attempts"]))
