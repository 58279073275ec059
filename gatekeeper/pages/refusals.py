"""What surfaces refuse, as a page where a person in a browser asked. ``app`` hands it to their ``Entrance``."""

from __future__ import annotations

from typing import Final

import orjson
from aiohttp import web

from gatekeeper.browsers import is_navigation
from gatekeeper.errors import Problem
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages.theme import Theme
from policies.model import Reason

_PROBLEM: Final = "application/problem+json"


class ForPeople:
    """Turns problem+json into a page for a navigating browser; every other answer stays as it is."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme

    def __call__(self, inbound: InboundRequest, answer: web.Response) -> web.Response:
        """The answer to send. Its status and its own header fields stay."""
        if answer.content_type != _PROBLEM or "X-Gate-Reason" not in answer.headers:
            return answer
        if not is_navigation(inbound.headers):
            return answer
        page = self._theme.refusal(inbound, _fault(answer))
        for name, value in answer.headers.items():
            if name not in page.headers:
                page.headers.add(name, value)
        page.headers.add("Vary", "Sec-Fetch-Mode, Accept")
        if answer.keep_alive is False:
            page.force_close()
        return page


def _fault(answer: web.Response) -> Problem:
    told = orjson.loads(answer.body) if isinstance(answer.body, bytes) else {}
    reason = Reason(answer.headers["X-Gate-Reason"])
    wait = {"retry_after": told["retry_after"]} if "retry_after" in told else {}
    return Problem(answer.status, reason, told.get("detail", ""), **wait)
