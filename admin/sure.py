"""The page that asks again before an act harms the one who asked for it. Used by ``admin.acts`` for forms; calls are
answered with what they have to say.
"""

from __future__ import annotations

from aiohttp import web

from admin.acts import SURE, Fields, Unsure
from admin.guard import Visit
from admin.render import Renderer


class SurePage:
    """The same form once more, with what it would do and a box to tick."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def ask(self, request: web.Request, visit: Visit, fields: Fields, unsure: Unsure) -> web.Response:
        """422: nothing was changed."""
        kept = {name: value for name, value in fields.items() if name != SURE}
        context = {
            "hits": unsure.hits,
            "label": unsure.label,
            "back": unsure.back,
            "kept": kept,
            "action": request.path,
        }
        return self._renderer.page(request, visit, "sure.html", context, here="bans", status=unsure.status)
