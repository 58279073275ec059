"""What people changed: the audit log with what was before and after."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from admin.guard import Visit
from admin.lists import ChangeFilter, ChangeRow, PanelReader
from admin.paging import SHOWN, chips, filled, number_of, query_of
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer

FILTERS: Final = {"action": "What", "actor": "Who", "subject": "To whom"}


class ActivityViews:
    """``P/admin/activity`` and ``P/admin/api/activity``."""

    def __init__(self, reader: PanelReader, renderer: Renderer) -> None:
        self._reader = reader
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The changes that fit, newest first."""
        filters, rows, following = await self._asked(request)
        context = {
            "changes": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
        }
        return self._renderer.page(request, visit, "activity.html", context, here="activity")

    async def listing(self, request: web.Request, _visit: Visit) -> web.Response:
        """``{"changes": [...], "next"}``, newest first."""
        _, rows, following = await self._asked(request)
        return json_answer({"changes": [_row(row) for row in rows], "next": following})

    async def _asked(self, request: web.Request) -> tuple[dict[str, str], list[ChangeRow], int | None]:
        filters = filled(request.query, FILTERS)
        wanted = ChangeFilter(**filters)
        rows = await self._reader.changes(wanted, count=SHOWN + 1, after=number_of(request.query.get("after")))
        return filters, rows[:SHOWN], rows[SHOWN - 1].id if len(rows) > SHOWN else None


def _row(row: ChangeRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "time": rfc3339(row.time),
        "actor": row.actor,
        "actor_email": row.actor_email,
        "action": row.action,
        "subject": row.subject,
        "subject_email": row.subject_email,
        "before": row.before,
        "after": row.after,
        "address": row.address,
        "request_id": row.request_id,
    }
