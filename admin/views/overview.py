"""The panel's first page: who is in, what happened lately, who attacks, and whether everything is well."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web

from admin.charts import Chart, Share, breakdown, shares, stacked
from admin.guard import Visit
from admin.lists import PanelReader, SessionFilter
from admin.render import Renderer
from admin.spans import SPANS, Span, since_of
from gatekeeper.answers import json_answer
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Count, CountFilter, Dimension, Grain, LoginFilter, LoginReader, Shared

Health = Callable[[], Awaitable[Sequence[tuple[str, bool]]]]

_DAY: Final = 86_400.0
_NOW: Final = 15 * 60.0  # seconds that "now" looks back
_TOP: Final = 6
_BRIEF: Final = 8
_RESULTS: Final = [str(result) for result in Result]


class OverviewViews:
    """``P/admin/`` and ``P/admin/api/overview``. ``bans`` counts those in force, ``health`` says what is well,
    ``configured`` whether the newest configuration is in force.
    """

    def __init__(
        self,
        reader: PanelReader,
        logins: LoginReader,
        renderer: Renderer,
        *,
        bans: Callable[[], int],
        health: Health,
        configured: Callable[[], bool],
    ) -> None:
        self._reader = reader
        self._logins = logins
        self._renderer = renderer
        self._bans = bans
        self._health = health
        self._configured = configured

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """All of it, over the ``range`` that is asked for."""
        name = request.query.get("range", "24h")
        if name not in SPANS:
            raise invalid("range", f"The range is one of {', '.join(SPANS)}.")
        context = await self._gathered(name, visit.now)
        latest = await self._logins.page(LoginFilter(), count=_BRIEF)
        return self._renderer.page(request, visit, "overview.html", {**context, "logins": latest}, here="overview")

    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """What happens now, and the sums of the last day."""
        now, chart = await asyncio.gather(self._present(visit.now), self._chart(SPANS["24h"], visit.now))
        return json_answer({"now": now, "last_24h": dict(chart.totals)})

    async def _gathered(self, name: str, now: float) -> dict[str, Any]:
        span = SPANS[name]
        since = since_of(span, now)
        wanted = CountFilter(since, now + _DAY)
        present, chart, waiting, health = await asyncio.gather(
            self._present(now), self._chart(span, now), self._reader.waiting_mail(), self._health()
        )
        kinds = (Dimension.REASON, Dimension.COUNTRY, Dimension.DEVICE)
        reasons, countries, devices = await asyncio.gather(
            *(self._logins.counts(span.grain, wanted, [kind]) for kind in kinds)
        )
        browsers, systems, methods = await asyncio.gather(
            *(
                self._logins.shares(kind, span.grain, wanted.since, wanted.until, most=_TOP - 1)
                for kind in (Shared.BROWSER, Shared.OS, Shared.METHOD)
            )
        )
        addresses, emails = await asyncio.gather(
            self._reader.busiest("address", since, refused=True, count=_TOP),
            self._reader.busiest("email", since, refused=True, count=_TOP),
        )
        return {
            "range": name,
            "ranges": list(SPANS),
            "now_is": present,
            "chart": chart,
            "reasons": _by([count for count in reasons if count.values[0]], ""),
            "countries": _by(countries, "unknown"),
            "devices": _by(devices, "unknown"),
            "browsers": breakdown(browsers),
            "systems": breakdown(systems),
            "methods": breakdown(methods),
            "addresses": shares({one.value: one.attempts for one in addresses}),
            "emails": shares({one.value: one.attempts for one in emails}),
            "mail": waiting,
            "health": [*health, ("configuration", self._configured())],
        }

    async def _present(self, now: float) -> dict[str, int]:
        wanted = CountFilter(now - _NOW, now + _DAY)
        sessions, counts = await asyncio.gather(
            self._reader.count_sessions(SessionFilter(), now),
            self._logins.counts(Grain.MINUTE, wanted, [Dimension.RESULT]),
        )
        sums: Counter[str] = Counter()
        for count in counts:
            sums[count.values[0]] += count.attempts + count.suppressed
        return {"sessions": sessions, "bans": self._bans(), **{result: sums[result] for result in _RESULTS}}

    async def _chart(self, span: Span, now: float) -> Chart:
        since = since_of(span, now)
        wanted = CountFilter(since, since + span.step * span.bars)
        counts = await self._logins.counts(span.grain, wanted, [Dimension.RESULT])
        return stacked(counts, _RESULTS, since=since, step=span.step, bars=span.bars)


def _by(counts: Sequence[Count], nothing: str) -> list[Share]:
    sums: Counter[str] = Counter()
    for count in counts:
        sums[count.values[0] or nothing] += count.attempts + count.suppressed
    return shares({value: attempts for value, attempts in sums.items() if attempts})
