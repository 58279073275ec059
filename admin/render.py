"""The panel's pages on the gate's theme. Used by ``admin.views``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from admin import diffs, wording
from admin.acts import notice_of
from admin.guard import Visit
from gatekeeper.pages.compression import QUICK, gzipped, takes_gzip
from gatekeeper.pages.theme import Theme


class Renderer:
    """Renders a panel page: the frame needs to know who looks, when, and which page it is."""

    def __init__(self, theme: Theme, attribution: Callable[[], str | None] = lambda: None) -> None:
        """``attribution`` is what the licences of the databases of places want said."""
        self._theme = theme
        self._attribution = attribution
        self.home = f"{theme.prefix}/admin"

    def page(
        self,
        request: web.Request,
        visit: Visit,
        template: str,
        context: Mapping[str, Any],
        *,
        here: str,
        status: int = 200,
    ) -> web.Response:
        """``here`` is the page's name in the navigation."""
        frame = {
            "admin": visit.admin,
            "now": visit.now,
            "may_act": visit.may_act,
            "notice": notice_of(request),
            "here": here,
            "words": wording,
            "diffs": diffs,
            "home": self.home,
            "attribution": self._attribution(),
        }
        english = self._theme.languages.english  # the panel's texts are in no other language
        answer = self._theme.page(request, template, {**frame, **context}, language=english, status=status)
        return _smaller(request, answer)


def _smaller(request: web.Request, answer: web.Response) -> web.Response:
    """In gzip, if that is taken. Answers to forms are left: what one shows once, such as the link of an invitation,
    stands beside what was typed, and the length of both together would tell of it (BREACH).
    """
    if request.method != "GET" or not takes_gzip(request.headers):
        return answer
    assert isinstance(answer.body, bytes), "a text"  # noqa: S101
    small = gzipped(answer.body, QUICK)
    if small is not None:
        answer.body = small
        answer.headers["Content-Encoding"] = "gzip"
    return answer
