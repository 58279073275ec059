"""The panel's first page: who is in, what happened lately, who attacks, and whether everything is well."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from admin.bodies import overview as bodies
from admin.calls import reads
from admin.charts import Chart, Share, Slice, breakdown, shares, slices, stacked
from admin.databases import databases
from admin.guard import Visit
from admin.lists import PanelReader, SessionFilter
from admin.odd import OddReader
from admin.overview_json import overview_json
from admin.paging import UNKNOWN
from admin.render import Renderer
from admin.spans import SPANS, Span, since_of
from admin.views.config import Standing, Targets
from admin.wording import country_name
from gatekeeper.answers import json_answer
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import CountFilter, Dimension, Grain, LoginFilter, LoginReader, Shared
from geo.lookup import PlaceFinder

Health = Callable[[], Awaitable[Sequence[tuple[str, bool]]]]

_DAY: Final = 86_400.0
_NOW: Final = 15 * 60.0  # seconds that "now" looks back
_TOP: Final = 6
_BRIEF: Final = 8
_COUNTED_AGAIN: Final = 15.0  # seconds, for a page that asks for itself again and again
_ODD: Final = 5
_RESULTS: Final = [str(result) for result in Result]


class OverviewViews:
    """``P/admin/`` and ``P/admin/api/overview``. ``bans`` counts those in force, ``pace`` requests a second,
    ``health`` says what is well, ``standing`` whether the newest configuration is in force.
    """

    def __init__(
        self,
        reader: PanelReader,
        logins: LoginReader,
        odd: OddReader,
        renderer: Renderer,
        *,
        bans: Callable[[], int],
        pace: Callable[[], float],
        health: Health,
        standing: Standing,
        places: PlaceFinder,
        upstreams: Callable[[], Targets],
    ) -> None:
        self._reader = reader
        self._logins = logins
        self._odd = odd
        self._renderer = renderer
        self._bans = bans
        self._pace = pace
        self._health = health
        self._standing = standing
        self._places = places
        self._upstreams = upstreams
        self._counted = (0, -math.inf)  # sessions, and when: Unix seconds

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """All of it, over the ``range`` that is asked for."""
        name = _range(request.query)
        by_itself = "HX-Request" in request.headers
        live = await self._live(name, visit.now, by_itself=by_itself)
        if by_itself:
            return self._renderer.page(request, visit, "overview_live.html", live, here="overview")
        context = {**live, **await self._gathered(name, visit.now)}
        latest = await self._logins.page(LoginFilter(), count=_BRIEF)
        return self._renderer.page(request, visit, "overview.html", {**context, "logins": latest}, here="overview")

    @reads("overview", "What happens now, and over a range", bodies.Overview, query=bodies.OverviewQuery)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """The same as JSON, without the latest logins, which have a call of their own."""
        name = _range(request.query)
        return json_answer(
            overview_json(*await asyncio.gather(self._live(name, visit.now), self._gathered(name, visit.now)))
        )

    async def _live(self, name: str, now: float, *, by_itself: bool = False) -> dict[str, Any]:
        present, chart, odd = await asyncio.gather(
            self._present(now, _COUNTED_AGAIN if by_itself else 0.0),
            self._chart(SPANS[name], now),
            self._odd.open(now, count=_ODD),
        )
        return {"range": name, "now_is": present, "chart": chart, "odd": odd, "per_second": per_second}

    async def _gathered(self, name: str, now: float) -> dict[str, Any]:
        span = SPANS[name]
        since = since_of(span, now)
        waiting, health = await asyncio.gather(self._reader.waiting_mail(), self._health())
        until = now + _DAY
        totals, refused, (browsers, systems, methods) = await asyncio.gather(
            self._logins.totals(span.grain, since, until),
            self._reader.most_refused(since, count=_TOP),
            asyncio.gather(
                *(
                    self._logins.shares(kind, span.grain, since, until, most=_TOP - 1)
                    for kind in (Shared.BROWSER, Shared.OS, Shared.METHOD)
                )
            ),
        )
        countries = totals[Dimension.COUNTRY]
        return {
            "ranges": list(SPANS),
            "reasons": _ring(_named({why: many for why, many in totals[Dimension.REASON].items() if why})),
            "countries": _named(countries),
            "country_names": {code: country_name(code) for code in countries if code},
            "devices": _ring(_named(totals[Dimension.DEVICE])),
            "browsers": _ring(breakdown(browsers)),
            "systems": _ring(breakdown(systems)),
            "methods": _ring(breakdown(methods)),
            "addresses": shares({one.value: one.attempts for one in refused.addresses}),
            "emails": shares({one.value: one.attempts for one in refused.emails}),
            "refused_reach": refused.reach,
            "mail": waiting,
            "health": [*health, ("configuration", self._standing.good)],
            "configured_at": self._standing.at,
            "databases": databases(self._places, now),
            "upstreams": self._upstreams(),
        }

    async def _present(self, now: float, old: float) -> dict[str, float]:
        """``old`` is how many seconds old the count of sessions may be: it is the dearest where there are many."""
        wanted = CountFilter(now - _NOW, now + _DAY)
        sessions, counts = await asyncio.gather(
            self._open_sessions(now, old),
            self._logins.counts(Grain.MINUTE, wanted, [Dimension.RESULT]),
        )
        sums: Counter[str] = Counter()
        for count in counts:
            sums[count.values[0]] += count.attempts + count.suppressed
        return {
            "sessions": sessions,
            "requests_per_second": round(self._pace(), 1),
            "bans": self._bans(),
            **{result: sums[result] for result in _RESULTS},
        }

    async def _open_sessions(self, now: float, old: float) -> int:
        counted, at = self._counted
        if at <= now < at + old:
            return counted
        counted = await self._reader.count_sessions(SessionFilter(), now)
        self._counted = counted, now
        return counted

    async def _chart(self, span: Span, now: float) -> Chart:
        since = since_of(span, now)
        wanted = CountFilter(since, since + span.step * span.bars)
        counts = await self._logins.counts(span.grain, wanted, [Dimension.RESULT])
        return stacked(counts, _RESULTS, since=since, step=span.step, bars=span.bars)


def _range(query: Mapping[str, str]) -> str:
    name = query.get("range") or "24h"
    if name not in SPANS:
        raise invalid("range", f"The range is one of {', '.join(SPANS)}.")
    return name


def per_second(rate: float) -> str:
    """A rate as people read it: ``0``, ``0.4``, ``1204``."""
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:.0f}"


def _ring(found: Sequence[Share]) -> list[Slice]:
    return slices({share.value: share.attempts for share in found})


def _named(sums: Mapping[str, int]) -> list[Share]:
    return shares({value or UNKNOWN: attempts for value, attempts in sums.items() if attempts})
