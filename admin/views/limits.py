"""The limits in force, and who uses up most of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from admin.bodies import limits as bodies
from admin.calls import reads
from admin.consumers import Whom, hashes, named
from admin.guard import Visit
from admin.limit_use import Meter, Use, Used, UseReader
from admin.lists import PanelReader
from admin.render import Renderer
from gatekeeper.answers import json_answer
from gatekeeper.inbound.client import rate_key

_SHOWN: Final = 10
_LOOKED_BACK: Final = 86_400.0  # seconds in which an e-mail that is kept as a hash only may have been typed
_TYPED: Final = 200  # e-mails


@dataclass(frozen=True, slots=True)
class Row:
    """A use of a limit as the page has it: who, what counts in each window, and the part of the limit in per cent."""

    whom: Whom
    windows: Sequence[tuple[int, int, int]]  # count, amount, seconds
    percent: int


class LimitViews:
    """``P/admin/limits`` and ``P/admin/api/limits``. ``meters`` are the limits in force, ``key_of`` is how counters
    keep e-mails.
    """

    def __init__(
        self,
        reader: PanelReader,
        uses: UseReader,
        meters: Callable[[], Sequence[Meter]],
        key_of: Callable[[str], str],
        renderer: Renderer,
    ) -> None:
        self._reader = reader
        self._uses = uses
        self._meters = meters
        self._key_of = key_of
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """Those against which somebody counts, each with who is nearest to it, and the names of the others."""
        meters, used = await self._asked(visit)
        names = await self._names(used, visit.now)
        mine = frozenset({rate_key(visit.by.address) if visit.by.address else "", visit.admin.subject})
        groups = [(meter, [_shown(meter, use, names, mine) for use in used.most.get(meter, ())]) for meter in meters]
        context = {
            "groups": [
                (attempts, [one for one in groups if one[0].attempts is attempts]) for attempts in (True, False)
            ],
            "used": used,
        }
        return self._renderer.page(request, visit, "limits.html", context, here="limits")

    @reads("limits", "Who uses up most of each limit", bodies.Limits)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"limits": [{"name", "setting", "by", "windows", "most": [...], ...}], "looked", "keys", "whole"}``."""
        meters, used = await self._asked(visit)
        rows = [_row(meter, used.most.get(meter, ())) for meter in meters]
        return json_answer({"limits": rows, "looked": used.looked, "keys": used.keys, "whole": used.whole})

    async def _asked(self, visit: Visit) -> tuple[Sequence[Meter], Used]:
        meters = self._meters()
        return meters, await self._uses.most(meters, visit.now, count=_SHOWN)

    async def _names(self, used: Used, now: float) -> Mapping[str, str]:
        """E-mails by ids of accounts, and by the hashes of those that were typed lately."""
        found = dict(
            await self._reader.emails({part for uses in used.most.values() for use in uses for part in use.who})
        )
        if any(hashes(meter, use) - found.keys() for meter, uses in used.most.items() for use in uses):
            typed = (await self._reader.most_refused(now - _LOOKED_BACK, count=_TYPED)).emails
            emails = {*(one.value for one in typed), *found.values()}
            found |= {self._key_of(email): email for email in emails}
        return found


def _shown(meter: Meter, use: Use, names: Mapping[str, str], mine: frozenset[str]) -> Row:
    windows = [(count, *window) for count, window in zip(use.counts, meter.windows, strict=True)]
    return Row(named(meter, use, names, mine), windows, round(100 * use.share(meter)))


def _row(meter: Meter, uses: Sequence[Use]) -> dict[str, Any]:
    amount, window = meter.windows[0]
    return {
        "name": meter.name,
        "setting": meter.setting,
        "says": meter.says,
        "counts": "attempts" if meter.attempts else "requests",
        "by": list(map(str, meter.of)),
        "amount": amount,
        "window": window,
        "windows": [{"amount": amount, "seconds": seconds} for amount, seconds in meter.windows],
        "report_only": meter.report_only,
        "most": [
            {
                "who": "/".join(use.who),
                "parts": dict(zip(map(str, meter.of), use.who, strict=True)),
                "requests": use.counts[0],
                "counts": list(use.counts),
                "share": round(use.share(meter), 4),
            }
            for use in uses
        ],
    }
