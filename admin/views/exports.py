"""Login attempts as files: CSV and JSON lines of whatever a filter finds, streamed in constant memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import orjson
from aiohttp import web

from admin.bodies.logins import LoginsQuery
from admin.calls import reads
from admin.files import AT_ONCE, CSV, JSON_LINES, csv_head, csv_rows, streamed
from admin.guard import Visit
from admin.views.logins import asked
from gatekeeper.journal.questions import LoginFilter, LoginReader, Seen
from gatekeeper.journal.rows import flat

_COLUMNS: Final = (
    *("time", "email", "user_id", "result", "reason", "method", "factor", "address", "country", "region", "city"),
    *("asn", "as_org", "device_kind", "browser", "os", "user_agent", "session", "signals", "risk", "action"),
    *("request_id", "latency_ms", "id"),
)

Written = Callable[[Sequence[str]], bytes]


class LoginExports:
    """``P/admin/logins.csv`` and ``P/admin/logins.jsonl``: every attempt that fits, newest first."""

    def __init__(self, reader: LoginReader) -> None:
        self._reader = reader

    @reads("logins.csv", "Attempts, all of them, as CSV", query=LoginsQuery, media_type="text/csv")
    async def csv(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """RFC 4180, with a header; no cell can start a formula (security 22)."""
        _, wanted = asked(request.query, visit.now)
        return await streamed(request, "logins.csv", CSV, self._portions(wanted, _csv), head=csv_head(_COLUMNS))

    @reads("logins.jsonl", "The same as JSON lines", query=LoginsQuery, media_type="application/jsonl")
    async def json_lines(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """One object a line, as in docs/login-log.md."""
        _, wanted = asked(request.query, visit.now)
        return await streamed(request, "logins.jsonl", JSON_LINES, self._portions(wanted, _json_lines))

    async def _portions(self, wanted: LoginFilter, written: Written) -> AsyncGenerator[bytes, None]:
        """By key and not by a cursor: a slow reader holds no connection to the database."""
        after: Seen | None = None
        while True:
            lines, after = await self._reader.portion(wanted, count=AT_ONCE, after=after)
            yield written(lines)
            if after is None:
                return


def _json_lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _csv(lines: Sequence[str]) -> bytes:
    return csv_rows(_COLUMNS, [flat(orjson.loads(line)) for line in lines])
