"""Bans that are over, out of PostgreSQL. Implements ``admin.lists.EndedBans``; built by ``gatekeeper.app.panel``."""

from __future__ import annotations

from gatekeeper.clock import as_datetime
from gatekeeper.store.bans import COLUMNS, ban_of
from gatekeeper.store.postgres import Postgres
from policies.bans import Ban

# In the words of the index bans_ended.
_ENDED = "(lifted_by IS DISTINCT FROM 'replaced' OR until <= lifted_at)"
_END = "least(lifted_at, until)"


class PostgresEndedBans:
    """One statement, by the index of endings."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def ended(self, now: float, *, count: int, after: tuple[float, int] | None = None) -> list[tuple[int, Ban]]:
        where, params = f"{_ENDED} AND {_END} <= %s", [as_datetime(now)]
        place: list[object] = []
        if after is not None:
            where += f" AND ({_END}, id) < (%s, %s)"
            place = [as_datetime(after[0]), after[1]]
        rows = await self._postgres.fetch(
            f"SELECT id, {COLUMNS} FROM bans WHERE {where} ORDER BY {_END} DESC, id DESC LIMIT %s",  # noqa: S608
            [*params, *place, count],
        )
        return [(row["id"], ban_of(row)) for row in rows]
