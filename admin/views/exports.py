"""Login attempts as files: CSV and JSON lines of whatever a filter finds, streamed in constant memory."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from admin.bodies.logins import LoginsQuery
from admin.calls import reads
from admin.guard import Visit
from admin.views.logins import asked
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.questions import LoginFilter, LoginReader, Seen
from gatekeeper.journal.rows import flat

_AT_ONCE: Final = 250  # rows in memory, and between two turns of the loop
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of one
_COLUMNS: Final = (
    *("time", "email", "user_id", "result", "reason", "method", "factor", "address", "country", "region", "city"),
    *("asn", "as_org", "device_kind", "browser", "os", "user_agent", "session", "signals", "risk", "action"),
    *("request_id", "latency_ms", "id"),
)

_log = logging.getLogger("gatekeeper.admin")

Written = Callable[[Sequence[str]], bytes]


class LoginExports:
    """``P/admin/logins.csv`` and ``P/admin/logins.jsonl``: every attempt that fits, newest first."""

    def __init__(self, reader: LoginReader) -> None:
        self._reader = reader

    @reads("logins.csv", "Attempts, all of them, as CSV", query=LoginsQuery, media_type="text/csv")
    async def csv(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """RFC 4180, with a header; no cell can start a formula (security 22)."""
        head = _written([dict(zip(_COLUMNS, _COLUMNS, strict=True))])
        return await self._file(request, visit, "logins.csv", "text/csv; charset=utf-8; header=present", head, _csv)

    @reads("logins.jsonl", "The same as JSON lines", query=LoginsQuery, media_type="application/jsonl")
    async def json_lines(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """One object a line, as in docs/login-log.md."""
        return await self._file(request, visit, "logins.jsonl", "application/jsonl; charset=utf-8", b"", _json_lines)

    async def _file(
        self, request: web.Request, visit: Visit, name: str, kind: str, head: bytes, written: Written
    ) -> web.StreamResponse:
        _, wanted = asked(request.query, visit.now)
        answer = web.StreamResponse()
        answer.headers.update(
            {
                "Content-Type": kind,
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        portions = self._portions(wanted)
        first: list[str] = await anext(portions, [])  # an outage is said before anything is sent
        await answer.prepare(request)
        await answer.write(head + written(first))
        try:
            async for portion in portions:
                await answer.write(written(portion))
        except StoreUnavailable as fault:
            _log.warning("a file of logins broke off: %s", fault)
            if request.transport is not None:
                request.transport.abort()  # without the last chunk, so that nobody takes it for whole
            return answer
        await answer.write_eof()
        return answer

    async def _portions(self, wanted: LoginFilter) -> AsyncGenerator[list[str], None]:
        """By key and not by a cursor: a slow reader holds no connection to the database."""
        after: Seen | None = None
        while True:
            lines, after = await self._reader.portion(wanted, count=_AT_ONCE, after=after)
            yield lines
            if after is None:
                return


def _json_lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _csv(lines: Sequence[str]) -> bytes:
    return _written([flat(orjson.loads(line)) for line in lines])


def _written(rows: Sequence[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([_cell(row[name]) for name in _COLUMNS] for row in rows)
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> str:
    text = "" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
