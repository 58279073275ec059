"""Login attempts: a page and its JSON."""

from __future__ import annotations

from aiohttp import web

from admin.guard import Visit
from admin.queries import PanelQueries
from admin.render import Renderer
from admin.wording import device, rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.journal.attempts import Attempt


class LoginViews:
    """``P/admin/logins`` and ``P/admin/api/logins``."""

    def __init__(self, queries: PanelQueries, renderer: Renderer) -> None:
        self._queries = queries
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The last attempts."""
        context = {"logins": await self._queries.logins()}
        return self._renderer.page(request, visit, "logins.html", context, here="logins")

    async def listing(self, _request: web.Request, _visit: Visit) -> web.Response:
        """``{"logins": [...]}``, newest first."""
        return json_answer({"logins": [_row(attempt) for attempt in await self._queries.logins()]})


def _row(attempt: Attempt) -> dict[str, object]:
    return {
        "time": rfc3339(attempt.time),
        "email": attempt.email,
        "user_id": attempt.user_id,
        "result": attempt.result,
        "reason": attempt.reason,
        "method": attempt.method,
        "address": str(attempt.address),
        "country": attempt.country,
        "device": device(attempt.user_agent),
        "user_agent": attempt.user_agent,
        "session": attempt.session,
        "request_id": attempt.request_id,
    }
