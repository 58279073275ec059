"""Accounts as files: every one that fits, newest first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import orjson
from aiohttp import web

from admin.account_json import user_json
from admin.bodies.users import UsersQuery
from admin.calls import reads
from admin.files import AT_ONCE, CSV, JSON_LINES, csv_head, csv_rows, streamed
from admin.guard import Visit
from admin.lists import Place
from admin.user_filters import users_asked
from admin.user_lists import UserFilter, UserReader, UserRow

_COLUMNS: Final = (
    *("email", "name", "roles", "locked", "email_verified", "created_at", "last_login", "open_sessions"),
    *("app", "passkeys", "id"),
)

Written = Callable[[Sequence[UserRow]], bytes]


class UserFiles:
    """``P/admin/users.csv`` and ``P/admin/users.jsonl``; filters as of the list. No secret is among it."""

    def __init__(self, reader: UserReader) -> None:
        self._reader = reader

    @reads("users.csv", "Accounts, all of them, as CSV", query=UsersQuery, media_type="text/csv")
    async def csv(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """RFC 4180, with a header; no cell can start a formula (security 22)."""
        _, wanted = users_asked(request.query, visit.now)
        portions = self._portions(wanted, visit.now, _csv)
        return await streamed(request, "users.csv", CSV, portions, head=csv_head(_COLUMNS))

    @reads("users.jsonl", "The same as JSON lines", query=UsersQuery, media_type="application/jsonl")
    async def json_lines(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """One object a line, as in the list."""
        _, wanted = users_asked(request.query, visit.now)
        return await streamed(request, "users.jsonl", JSON_LINES, self._portions(wanted, visit.now, _json_lines))

    async def _portions(self, wanted: UserFilter, now: float, written: Written) -> AsyncGenerator[bytes, None]:
        """By key and not by a cursor: a slow reader holds no connection to the database."""
        after: Place | None = None
        while True:
            rows = await self._reader.users(wanted, now, count=AT_ONCE, after=after)
            yield written(rows)
            if len(rows) < AT_ONCE:
                return
            after = Place(rows[-1].created_at, rows[-1].id)


def _json_lines(rows: Sequence[UserRow]) -> bytes:
    return b"".join(orjson.dumps(user_json(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _csv(rows: Sequence[UserRow]) -> bytes:
    return csv_rows(_COLUMNS, [user_json(row) for row in rows])
