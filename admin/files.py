"""Lists of the panel as files, CSV and JSON lines, streamed in constant memory. For the views that export."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from aiohttp import web

from gatekeeper.errors import StoreUnavailable

AT_ONCE: Final = 250  # rows in memory, and between two turns of the loop
CSV: Final = "text/csv; charset=utf-8; header=present"
JSON_LINES: Final = "application/jsonl; charset=utf-8"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of one

_log = logging.getLogger("gatekeeper.admin")


async def streamed(
    request: web.Request, name: str, kind: str, portions: AsyncGenerator[bytes, None], *, head: bytes = b""
) -> web.StreamResponse:
    """``head`` and all portions as a file of this name. Raises StoreUnavailable before anything is sent; an outage
    later breaks the connection off.
    """
    answer = web.StreamResponse()
    answer.headers.update(
        {
            "Content-Type": kind,
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    first = await anext(portions, b"")
    await answer.prepare(request)
    await answer.write(head + first)
    try:
        async for portion in portions:
            await answer.write(portion)
    except StoreUnavailable as fault:
        _log.warning("the file %s broke off: %s", name, fault)
        if request.transport is not None:
            request.transport.abort()  # without the last chunk, so that nobody takes it for whole
        return answer
    await answer.write_eof()
    return answer


def csv_head(columns: Sequence[str]) -> bytes:
    """The line that names the columns."""
    return csv_rows(columns, [dict(zip(columns, columns, strict=True))])


def csv_rows(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as RFC 4180 has them; no cell can start a formula (security 22)."""
    out = io.StringIO()
    csv.writer(out).writerows([_cell(row[name]) for name in columns] for row in rows)
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> str:
    match value:
        case None:
            text = ""
        case bool():
            text = "true" if value else "false"
        case list():
            text = " ".join(map(str, value))
        case _:
            text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
