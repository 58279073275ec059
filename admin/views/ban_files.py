"""Bans as files: every one that fits, in force or over. What is typed for a subject is in ``subject``, so a file can be
read by what makes lists for the import too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from admin.ban_lists import BanPlace, BanReader, Numbered, Order, bans_asked, order_of
from admin.bodies.bans import FilterQuery, OrderedQuery
from admin.calls import reads
from admin.files import AT_ONCE, CSV, JSON_LINES, csv_head, csv_rows, streamed
from admin.guard import Visit
from admin.views.bans import ban_json, past_json
from policies.bans import Ban

_COLUMNS: Final = ("subject", "kind", "label", "source", "reason", "by", "since", "until")
_PAST_COLUMNS: Final = (*_COLUMNS, "lifted", "lifted_by")

Rows = Sequence[Mapping[str, Any]]
Portion = Callable[[BanPlace | None], Awaitable[list[Numbered]]]


class BanFiles:
    """``P/admin/bans.csv``, ``bans.jsonl``, ``bans/ended.csv`` and ``bans/ended.jsonl``; filters as of the lists."""

    def __init__(self, bans: BanReader) -> None:
        self._bans = bans

    @reads("bans.csv", "Bans in force, all of them, as CSV", query=OrderedQuery, media_type="text/csv")
    async def csv(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """RFC 4180, with a header; no cell can start a formula (security 22)."""
        portions = self._in_force(request, visit, partial(csv_rows, _COLUMNS))
        return await streamed(request, "bans.csv", CSV, portions, head=csv_head(_COLUMNS))

    @reads("bans.jsonl", "The same as JSON lines", query=OrderedQuery, media_type="application/jsonl")
    async def json_lines(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """One object a line, as in the list."""
        return await streamed(request, "bans.jsonl", JSON_LINES, self._in_force(request, visit, _json_lines))

    @reads("bans/ended.csv", "Bans that are over, all of them, as CSV", query=FilterQuery, media_type="text/csv")
    async def ended_csv(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """As ``csv``, with how each ended."""
        portions = self._ended(request, visit, partial(csv_rows, _PAST_COLUMNS))
        return await streamed(request, "bans-ended.csv", CSV, portions, head=csv_head(_PAST_COLUMNS))

    @reads("bans/ended.jsonl", "The same as JSON lines", query=FilterQuery, media_type="application/jsonl")
    async def ended_json_lines(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """As ``json_lines``, with how each ended."""
        return await streamed(request, "bans-ended.jsonl", JSON_LINES, self._ended(request, visit, _json_lines))

    def _in_force(
        self, request: web.Request, visit: Visit, written: Callable[[Rows], bytes]
    ) -> AsyncGenerator[bytes, None]:
        _, wanted = bans_asked(request.query)
        order = order_of(request.query)

        async def portion(after: BanPlace | None) -> list[Numbered]:
            return await self._bans.in_force(wanted, visit.now, count=AT_ONCE, order=order, after=after)

        return _portions(portion, written, ban_json, lambda ban: ban.until if order is Order.ENDS else None)

    def _ended(
        self, request: web.Request, visit: Visit, written: Callable[[Rows], bytes]
    ) -> AsyncGenerator[bytes, None]:
        _, wanted = bans_asked(request.query)

        async def portion(after: BanPlace | None) -> list[Numbered]:
            return await self._bans.ended(wanted, visit.now, count=AT_ONCE, after=after)

        return _portions(portion, written, past_json, lambda ban: ban.ended_at)


async def _portions(
    portion: Portion,
    written: Callable[[Rows], bytes],
    row: Callable[[Ban], Mapping[str, Any]],
    end: Callable[[Ban], float | None],
) -> AsyncGenerator[bytes, None]:
    """By key and not by a cursor: a slow reader holds no connection to the database."""
    after: BanPlace | None = None
    while True:
        rows = await portion(after)
        yield written([row(ban) for _, ban in rows])
        if len(rows) < AT_ONCE:
            return
        number, last = rows[-1]
        after = BanPlace(number, end(last))


def _json_lines(rows: Rows) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
