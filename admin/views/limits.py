"""The limits in force, and who uses up most of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from admin.bodies import bans as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.limit_use import Use, UseReader
from admin.lists import PanelReader
from admin.render import Renderer
from gatekeeper.answers import json_answer
from policies.rates import Limit, LimitBy

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit with its greatest uses."""

    limit: Limit
    uses: Sequence[Use]


class LimitViews:
    """``P/admin/limits`` and ``P/admin/api/limits``; ``limits`` are those in force."""

    def __init__(
        self, reader: PanelReader, uses: UseReader, limits: Callable[[], Sequence[Limit]], renderer: Renderer
    ) -> None:
        self._reader = reader
        self._uses = uses
        self._limits = limits
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """All of them, each with those who are nearest to it."""
        standings, whole = await self._asked(visit)
        users = {use.who for one in standings for use in one.uses}
        context = {"standings": standings, "whole": whole, "names": await self._reader.emails(users), "by": LimitBy}
        return self._renderer.page(request, visit, "limits.html", context, here="bans")

    @reads("limits", "Who uses up most of each limit", bodies.Limits)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"limits": [{"name", "amount", "window", "by", "most": [{"who", "requests"}]}], "whole"}``."""
        standings, whole = await self._asked(visit)
        return json_answer({"limits": [_row(one) for one in standings], "whole": whole})

    async def _asked(self, visit: Visit) -> tuple[list[Standing], bool]:
        limits = self._limits()
        used = await self._uses.most(limits, visit.now, count=_SHOWN)
        return [Standing(limit, used.most.get(limit.name, ())) for limit in limits], used.whole


def _row(one: Standing) -> dict[str, Any]:
    limit = one.limit
    return {
        "name": limit.name,
        "amount": limit.amount,
        "window": limit.window,
        "by": str(limit.by),
        "most": [{"who": use.who, "requests": use.requests} for use in one.uses],
    }
