"""The panel's first page: what happens right now."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web

from admin.guard import Visit
from admin.queries import PanelQueries
from admin.render import Renderer

_BRIEF = 10  # sessions beside the logins; the rest has its own page


class OverviewViews:
    """``P/admin/``."""

    def __init__(self, queries: PanelQueries, renderer: Renderer) -> None:
        self._queries = queries
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The last login attempts, the newest living sessions and their sums."""
        logins, sessions = await asyncio.gather(self._queries.logins(), self._queries.sessions(visit.now))
        context = {
            "logins": logins,
            "results": Counter(str(attempt.result) for attempt in logins),
            "sessions": sessions[:_BRIEF],
            "session_count": len(sessions),
            "people": len({entry.record.user_id for entry in sessions}),
        }
        return self._renderer.page(request, visit, "overview.html", context, here="overview")
