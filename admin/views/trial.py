"""A configuration on trial: somebody pastes one and sees what is wrong with it, or what it would change."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from admin.bodies import rules as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.render import Renderer
from gatekeeper.answers import json_answer
from gatekeeper.errors import Fault, Problem
from gatekeeper.identity.user_desk import invalid
from gatekeeper.pages.forms import read_form
from gatekeeper.trial import Trial, Trials
from policies.model import Reason

_TEXT: Final = "text"


class TrialViews:
    """``P/admin/rules/check`` and ``P/admin/api/rules/check``; ``limit`` in bytes of a body. They change nothing, so
    whoever may look may use them.
    """

    def __init__(self, trials: Trials, renderer: Renderer, *, limit: int) -> None:
        self._trials = trials
        self._renderer = renderer
        self._limit = limit

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The form."""
        return self._page(request, visit, "", None)

    async def judge(self, request: web.Request, visit: Visit) -> web.Response:
        """POST of the form: the same page, with what was found. The text goes nowhere else."""
        text = (await read_form(request, self._limit)).get(_TEXT, "").replace("\r\n", "\n")
        if not text.strip():
            raise invalid(_TEXT, "Paste a whole configuration.")
        return self._page(request, visit, text, await self._trials.of_text(text))

    @reads(
        "rules/check",
        "What a configuration would change; changes nothing",
        bodies.Trial,
        method="POST",
        body=bodies.TrialBody,
    )
    async def call(self, request: web.Request, _visit: Visit) -> web.Response:
        """POST ``{"text"}``: ``{"good", "faults": [{key, line, detail}], "warnings", "changed", "restart",
        "rules"}``.
        """
        if request.content_type != "application/json":
            raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE)
        try:
            body = orjson.loads(await request.read())  # bounded by the application
        except orjson.JSONDecodeError:
            raise Problem(400, Reason.VALIDATION, "The body is not JSON.") from None
        if not isinstance(body, dict) or set(body) != {_TEXT} or not isinstance(body[_TEXT], str):
            raise invalid(_TEXT, "is the one field there is, and a string")
        return json_answer(_told(await self._trials.of_text(body[_TEXT])))

    def _page(self, request: web.Request, visit: Visit, text: str, found: Trial | None) -> web.Response:
        context = {"text": text, "found": found, "limit": self._limit}
        return self._renderer.page(request, visit, "trial.html", context, here="rules")


def _told(found: Trial) -> dict[str, Any]:
    rules = found.rules
    return {
        "good": found.good,
        "faults": [_fault(one) for one in found.faults],
        "warnings": [_fault(one) for one in found.warnings],
        "changed": found.changed,
        "restart": found.waiting,
        "rules": {
            "added": rules.added,
            "removed": rules.removed,
            "changed": rules.changed,
            "reordered": rules.reordered,
        },
    }


def _fault(one: Fault) -> dict[str, Any]:
    return {"key": one.key, "line": one.line, "detail": one.message}
