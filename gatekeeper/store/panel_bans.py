"""Lists of bans, in force and over, out of PostgreSQL. Implements ``admin.ban_lists.BanReader``; built by
``gatekeeper.app.panel``.
"""

from __future__ import annotations

from typing import Any, Final

from admin.ban_lists import TEXTS_REACH, BanFilter, BanPlace, Numbered, Order
from gatekeeper.clock import as_datetime
from gatekeeper.store.bans import COLUMNS, ban_of
from gatekeeper.store.postgres import Postgres

# In the words of the indexes bans_newest, bans_by_end and bans_ended.
_IN_FORCE: Final = "lifted_at IS NULL AND (until IS NULL OR until > %s)"
_BY_END: Final = "coalesce(until, 'infinity')"
_END: Final = "least(lifted_at, until)"
_ENDED: Final = f"(lifted_by IS DISTINCT FROM 'replaced' OR until <= lifted_at) AND {_END} <= %s"
_LATEST: Final = f"{_END} DESC, id DESC"
_HAS_TEXT: Final = "strpos(lower(concat_ws(' ', subject, label, reason)), lower(%s)) > 0"


class PostgresPanelBans:
    """Each list is one statement. A text is in no index: it is looked for among the newest."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def in_force(
        self, wanted: BanFilter, now: float, *, count: int, order: Order = Order.NEWEST, after: BanPlace | None = None
    ) -> list[Numbered]:
        place, ordered = list[object](), "id DESC"
        behind = "id < %s"
        if order is Order.ENDS:
            ordered, behind = f"{_BY_END}, id", f"({_BY_END}, id) > (coalesce(%s::timestamptz, 'infinity'), %s)"
        if after is not None:
            end = None if after.end is None else as_datetime(after.end)
            place = [end, after.number] if order is Order.ENDS else [after.number]
        base = (_IN_FORCE, "id DESC", now)
        return await self._rows(wanted, base, ordered, (behind, place), count)

    async def ended(
        self, wanted: BanFilter, now: float, *, count: int, after: BanPlace | None = None
    ) -> list[Numbered]:
        place = [] if after is None else [as_datetime(after.end or 0.0), after.number]
        return await self._rows(wanted, (_ENDED, _LATEST, now), _LATEST, (f"({_END}, id) < (%s, %s)", place), count)

    async def beyond_reach(self, now: float, *, ended: bool) -> bool:
        which, ordered = (_ENDED, _LATEST) if ended else (_IN_FORCE, "id DESC")
        row = await self._postgres.fetch_one(
            f"SELECT 1 FROM bans WHERE {which} ORDER BY {ordered} OFFSET %s LIMIT 1",  # noqa: S608  # from above
            (as_datetime(now), TEXTS_REACH),
        )
        return row is not None

    async def _rows(
        self,
        wanted: BanFilter,
        base: tuple[str, str, float],
        ordered: str,
        behind: tuple[str, list[Any]],
        count: int,
    ) -> list[Numbered]:
        which, newest, now = base
        source, params = f"bans WHERE {which}", list[object]([as_datetime(now)])
        if wanted.text is not None:
            source = f"(SELECT * FROM bans WHERE {which} ORDER BY {newest} LIMIT %s) AS newest WHERE true"  # noqa: S608
            params.append(TEXTS_REACH)
        conditions = (
            ("network && %s::inet", wanted.network),
            (_HAS_TEXT, wanted.text),
            ("kind = %s", wanted.kind),
            ("source = %s", wanted.source),
        )
        for condition, value in conditions:
            if value is not None:
                source += f" AND {condition}"
                params.append(str(value))
        if behind[1]:
            source += f" AND {behind[0]}"
            params += behind[1]
        rows = await self._postgres.fetch(
            f"SELECT id, {COLUMNS} FROM {source} ORDER BY {ordered} LIMIT %s",  # noqa: S608  # conditions from above
            [*params, count],
        )
        return [(row["id"], ban_of(row)) for row in rows]
