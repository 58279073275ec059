"""Living sessions: a page and its JSON."""

from __future__ import annotations

from aiohttp import web

from admin.guard import Visit
from admin.queries import OpenSession, PanelQueries
from admin.render import Renderer
from admin.wording import device, rfc3339
from gatekeeper.answers import json_answer


class SessionViews:
    """``P/admin/sessions`` and ``P/admin/api/sessions``."""

    def __init__(self, queries: PanelQueries, renderer: Renderer) -> None:
        self._queries = queries
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The newest living sessions."""
        context = {"sessions": await self._queries.sessions(visit.now)}
        return self._renderer.page(request, visit, "sessions.html", context, here="sessions")

    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"sessions": [...]}``, newest first."""
        return json_answer({"sessions": [_row(entry) for entry in await self._queries.sessions(visit.now)]})


def _row(entry: OpenSession) -> dict[str, object]:
    record = entry.record
    return {
        "id": record.id,
        "user_id": record.user_id,
        "email": entry.email,
        "started_at": rfc3339(record.started_at),
        "seen_at": rfc3339(entry.seen_at),
        "expires_at": rfc3339(record.expires_at),
        "address": str(record.origin.address),
        "country": record.origin.country,
        "device": device(record.origin.user_agent),
        "user_agent": record.origin.user_agent,
        "amr": list(record.amr),
    }
