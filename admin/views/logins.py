"""Login attempts: a page with filters, one attempt with all that is known, and the same as JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from admin import wording
from admin.bodies import logins as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.paging import (
    SHOWN,
    UNKNOWN,
    area_of,
    chips,
    country_of,
    filled,
    moment_of,
    network_of,
    place_by_uuid,
    query_of,
    said_area,
    said_place,
)
from admin.render import Renderer
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.journal.questions import Area, LoginFilter, LoginReader, Seen
from gatekeeper.journal.rows import public
from policies.anomalies import Signal
from policies.model import Reason
from policies.travel import distance

FILTERS: Final = {
    "user": "User",
    "result": "Result",
    "reason": "Reason",
    "address": "Address",
    "country": "Country",
    "area": "Part of the map",
    "device": "Device",
    "browser": "Browser",
    "os": "System",
    "method": "Method",
    "signal": "Signal",
    "session": "Session",
    "range": "Last",
    "since": "Since",
    "until": "Until",
}
_NEAR: Final = 50.0  # kilometres within which places are not told apart
_NEARBY: Final = 0.5  # degrees around a place
RANGES: Final = {"15m": 900.0, "1h": 3600.0, "24h": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}


class LoginViews:
    """``P/admin/logins`` and ``P/admin/api/logins``."""

    def __init__(self, reader: LoginReader, renderer: Renderer) -> None:
        self._reader = reader
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The attempts that fit, newest first."""
        filters, wanted = asked(request.query, visit.now)
        rows, following = await self._page(request, wanted)
        context = {
            "logins": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS, said(wanted)),
            "following": following,
            "query": query_of(filters),
            "on_map": query_of({name: value for name, value in filters.items() if name not in ("since", "until")}),
            "first": "after" not in request.query,
            "results": [str(result) for result in Result],
            "reasons": sorted(str(reason) for reason in Reason),
            "signals": [str(signal) for signal in Signal],
            "ranges": list(RANGES),
        }
        return self._renderer.page(request, visit, "logins.html", context, here="logins")

    @reads("logins", "Attempts to log in, newest first", bodies.Attempts, query=bodies.LoginsPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"logins": [...], "next"}``, newest first; rows as in docs/login-log.md."""
        _, wanted = asked(request.query, visit.now)
        rows, following = await self._page(request, wanted)
        return json_answer({"logins": [public(row) for row in rows], "next": following})

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """All that is known of an attempt, and how far it is from the one before."""
        attempt, before = await self._one(request)
        context = {
            "attempt": attempt,
            "before": before,
            "journey": _journey(before, attempt),
            "around": query_of(_around(attempt)),
            "evidence": dict(attempt.evidence or {}),
        }
        return self._renderer.page(request, visit, "attempt.html", context, here="logins")

    @reads("logins/{attempt}", "One attempt, and the login before it", bodies.OneAttempt)
    async def one_call(self, request: web.Request, _visit: Visit) -> web.Response:
        """``{"login", "before", "journey": {"seconds", "km", "kmh"}}``; what is not known is null."""
        attempt, before = await self._one(request)
        journey = _journey(before, attempt)
        told = journey and {
            "seconds": round(journey.seconds, 3),
            "km": _rounded(journey.km),
            "kmh": _rounded(journey.speed),
        }
        return json_answer({"login": public(attempt), "before": before and public(before), "journey": told})

    async def _one(self, request: web.Request) -> tuple[Attempt, Attempt | None]:
        try:
            attempt = await self._reader.find(uuid.UUID(request.match_info["attempt"]))
        except ValueError:
            attempt = None
        if attempt is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such attempt; it may be written in a moment.")
        return attempt, await self._before(attempt)

    async def _page(self, request: web.Request, wanted: LoginFilter) -> tuple[list[Attempt], str | None]:
        rows = await self._reader.page(wanted, count=SHOWN + 1, after=_seen(request.query.get("after")))
        shown = rows[:SHOWN]
        return shown, said_place(shown[-1].time, str(shown[-1].id)) if len(rows) > SHOWN else None

    async def _before(self, attempt: Attempt) -> Attempt | None:
        if attempt.user_id is None:
            return None
        wanted = LoginFilter(user_id=attempt.user_id, result=Result.SUCCESS, until=attempt.time)
        return next(iter(await self._reader.page(wanted, count=1)), None)


def asked(query: Mapping[str, str], now: float) -> tuple[dict[str, str], LoginFilter]:
    """The filters of an address. Raises Problem (422) that names the field."""
    filters = filled(query, FILTERS)
    user, span = filters.get("user"), filters.get("range")
    if span is not None and span not in RANGES:
        raise invalid("range", f"The range is one of {', '.join(RANGES)}.")
    since = moment_of(filters.get("since"), "since")
    by_id = _is_id(user)
    return filters, LoginFilter(
        since=now - RANGES[span] if span is not None else since,
        until=moment_of(filters.get("until"), "until"),
        result=_one_of(Result, filters.get("result"), "result"),
        reason=_one_of(Reason, filters.get("reason"), "reason"),
        method=filters.get("method"),
        user_id=user if by_id else None,
        email=None if by_id else user,
        network=network_of(filters.get("address")),
        country=country_of(filters.get("country")),
        area=area_of(filters.get("area")),
        device_kind=_known(filters.get("device")),
        browser=_known(filters.get("browser")),
        os=_known(filters.get("os")),
        session=filters.get("session"),
        signal=filters.get("signal"),
    )


def _known(text: str | None) -> str | None:
    return "" if text == UNKNOWN else text


def said(wanted: LoginFilter) -> dict[str, str]:
    """Filters that people know by other words than their addresses."""
    words = {} if wanted.area is None else {"area": wording.area(wanted.area)}
    if wanted.country:
        words["country"] = wording.country_name(wanted.country)
    if wanted.signal:
        words["signal"] = wanted.signal.replace("_", " ")
    return words


def _one_of(kind: Any, text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise invalid(name, f"There is no {name} {text[:40]}.") from None


def _is_id(text: str | None) -> bool:
    try:
        uuid.UUID(text or "")
    except ValueError:
        return False
    return True


def _seen(text: str | None) -> Seen | None:
    place = place_by_uuid(text)
    return None if place is None else Seen(place.at, uuid.UUID(place.id))


@dataclass(frozen=True, slots=True)
class Journey:
    """From the login before to this attempt: seconds, and where both places are known kilometres and km/h."""

    seconds: float
    km: float | None

    @property
    def speed(self) -> float | None:
        """None too where it says nothing: within the exactness of places, or in no time."""
        if self.km is None or self.km < _NEAR or self.seconds < 1:
            return None
        return self.km / (self.seconds / 3600)


def _rounded(value: float | None) -> float | None:
    """Places are not known more exactly."""
    return None if value is None else round(value, 1)


def _journey(before: Attempt | None, attempt: Attempt) -> Journey | None:
    if before is None:
        return None
    ends = (before.latitude, before.longitude, attempt.latitude, attempt.longitude)
    known = [degrees for degrees in ends if degrees is not None]
    return Journey(attempt.time - before.time, distance(*known) if len(known) == len(ends) else None)


def _around(attempt: Attempt) -> dict[str, str]:
    """What the map is asked for to show where an attempt came from."""
    if attempt.latitude is not None and attempt.longitude is not None:
        south, west = round(attempt.latitude, 1), round(attempt.longitude, 1)
        area = Area(*(round(edge, 2) for edge in (south - _NEARBY, west - _NEARBY, south + _NEARBY, west + _NEARBY)))
        return {"range": "30d", "area": said_area(area)}
    return {"range": "30d", "country": attempt.country} if attempt.country else {}
