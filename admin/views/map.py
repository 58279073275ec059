"""The map: from where people sign in, over time, beside the list of what is looked at. The same as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from admin.bodies import overview as bodies
from admin.bubbles import Bubble, Layout, Picture
from admin.calls import reads
from admin.charts import stacked
from admin.guard import Visit
from admin.paging import chips, filled, query_of, said_area
from admin.places import PlaceReader, Spot
from admin.render import Renderer
from admin.spans import SPANS, Span, since_of
from admin.views.logins import FILTERS as OF_LOGINS
from admin.views.logins import RANGES, asked, said
from admin.wording import country_name, rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import LoginFilter, LoginReader
from geo.projection import HEIGHT, SCALE, TOP, WIDTH
from policies.model import Reason

FILTERS: Final = {name: label for name, label in OF_LOGINS.items() if name not in {"range", "since", "until"}}
_WHEN: Final = ("range", "at")
_LISTED: Final = 25
_PLACES: Final = 12
_RESULTS: Final = [str(result) for result in Result]


@dataclass(frozen=True, slots=True)
class Geography:
    """The database of places: whether it knows more than countries, and of which day it is."""

    cities: bool
    built: str


@dataclass(frozen=True, slots=True)
class Time:
    """What the slider stands at: bar ``at`` of a range, or 0 for all of it; times in Unix seconds."""

    name: str
    span: Span
    at: int
    first: float

    @property
    def since(self) -> float:
        return self.first + self.span.step * (self.at - 1 if self.at else 0)

    @property
    def until(self) -> float:
        return self.since + self.span.step * (1 if self.at else self.span.bars)


class MapViews:
    """``P/admin/map`` and ``P/admin/api/map``."""

    def __init__(
        self,
        places: PlaceReader,
        logins: LoginReader,
        renderer: Renderer,
        geography: Callable[[], Geography],
    ) -> None:
        self._places = places
        self._logins = logins
        self._renderer = renderer
        self._geography = geography

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The places of a time, and the newest attempts of those that are chosen."""
        time = _time(request.query, visit.now)
        filters, wanted = _asked(request.query, time, visit.now)
        everywhere = replace(wanted, area=None, country=None)
        found, counts, rows = await asyncio.gather(
            self._places.spots(everywhere, time.span.grain),
            self._places.times(
                replace(wanted, since=time.first, until=time.first + time.span.step * time.span.bars), time.span.grain
            ),
            self._logins.page(wanted, count=_LISTED + 1),
        )
        picture = Picture.of(wanted.area)
        layout = Layout(found.spots, picture, area=wanted.area, country=wanted.country)
        chosen = [spot for spot in found.spots if _fits(spot, wanted)]
        links = _Links(self._renderer.home, filters, time)
        context = {
            "time": time,
            "ranges": list(SPANS),
            "strip": stacked(counts, _RESULTS, since=time.first, step=time.span.step, bars=time.span.bars),
            "filters": filters,
            "chips": chips(filters, FILTERS, said(wanted)),
            "links": links,
            "picture": picture,
            "strip_sums": {result: sum(spot.attempts.get(result, 0) for spot in chosen) for result in _RESULTS},
            "frame": {"width": WIDTH, "height": HEIGHT, "scale": SCALE, "top": TOP},
            "bubbles": layout.bubbles,
            "logins": rows[:_LISTED],
            "more": len(rows) > _LISTED,
            "key_of": lambda row: layout.key_of(row.latitude, row.longitude, row.country),
            "name_of": name_of,
            "sums": _sums(chosen),
            "top": [bubble for bubble in layout.bubbles if bubble.chosen][:_PLACES],
            "complete": found.complete,
            "geography": self._geography(),
            "results": _RESULTS,
            "reasons": sorted(str(reason) for reason in Reason),
        }
        return self._renderer.page(request, visit, "map.html", context, here="map")

    @reads("map", "Attempts by place", bodies.Spots, query=bodies.MapQuery)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"since", "until", "complete", "unplaced", "places": [...]}``, the most attempts first."""
        time = _time(request.query, visit.now)
        _, wanted = _asked(request.query, time, visit.now)
        found = await self._places.spots(wanted, time.span.grain)
        return json_answer(
            {
                "since": rfc3339(time.since),
                "until": rfc3339(time.until),
                "complete": found.complete,
                "unplaced": sum(spot.total for spot in found.spots if not spot.country),
                "places": [_row(spot) for spot in found.spots if spot.country],
            }
        )


class _Links:
    """Addresses of the map, and of the list of logins, from where one is."""

    def __init__(self, home: str, filters: Mapping[str, str], time: Time) -> None:
        self._home = home
        self._filters = dict(filters)
        self._when = {"range": time.name, **({"at": str(time.at)} if time.at else {})}
        self._time = time

    def map(self, **changes: str | None) -> str:
        """With some of the filters, or the time, changed; None takes one away."""
        query = {**self._filters, **self._when, **changes}
        return f"{self._home}/map{query_of({name: value for name, value in query.items() if value})}"

    def bubble(self, bubble: Bubble) -> str:
        """What selects it, or lets it go again where it is what is selected."""
        name, value = ("country", bubble.country) if bubble.area is None else ("area", said_area(bubble.area))
        chosen = self._filters.get(name) == value
        return self.map(**{"area": None, "country": None, name: None if chosen else value})

    @property
    def when(self) -> str:
        """What the address of a filter has to say about the time."""
        return urlencode(self._when)

    def logins(self, **changes: str | None) -> str:
        """The list of the same attempts."""
        times = {"since": rfc3339(self._time.since)[:16], "until": rfc3339(self._time.until)[:16]}
        query = {**self._filters, **times, **changes}
        return f"{self._home}/logins{query_of({name: value for name, value in query.items() if value})}"


def name_of(bubble: Bubble) -> str:
    """What people call it: ``Zürich and 2 more, Switzerland``."""
    country = country_name(bubble.country) if bubble.country else ""
    if not bubble.cities:
        return country or "A place without a name"
    others = len(bubble.cities) - 1
    return ", ".join(filter(None, [bubble.cities[0] + (f" and {others} more" if others else ""), country]))


def _time(query: Mapping[str, str], now: float) -> Time:
    """Raises Problem (422)."""
    name = query.get("range") or "7d"
    name = "24h" if name in RANGES and name not in SPANS else name  # a link from the logins may say less
    if name not in SPANS:
        raise invalid("range", f"The range is one of {', '.join(SPANS)}.")
    span = SPANS[name]
    text = query.get("at") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= span.bars + 1):
        raise invalid("at", f"The time is a number from 1 to {span.bars}, or {span.bars + 1} for all of the range.")
    return Time(name, span, int(text) % (span.bars + 1), since_of(span, now))


def _asked(query: Mapping[str, str], time: Time, now: float) -> tuple[dict[str, str], LoginFilter]:
    filters = filled(query, FILTERS)
    _, wanted = asked(filters, now)
    return filters, replace(wanted, since=time.since, until=time.until)


def _sums(chosen: Sequence[Spot]) -> dict[str, int]:
    return {
        "placed": sum(spot.total for spot in chosen if spot.country),
        "unplaced": sum(spot.total for spot in chosen if not spot.country),
        "countries": len({spot.country for spot in chosen if spot.country}),
    }


def _fits(spot: Spot, wanted: LoginFilter) -> bool:
    inside = wanted.area is None or wanted.area.holds(spot.latitude, spot.longitude)
    return inside and (wanted.country is None or spot.country == wanted.country)


def _row(spot: Spot) -> dict[str, Any]:
    return {
        "country": spot.country,
        "city": spot.city or None,
        "latitude": spot.latitude,
        "longitude": spot.longitude,
        **{result: spot.attempts.get(result, 0) for result in _RESULTS},
    }
