"""The overview as calls get it. Used by ``admin.views.overview``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from admin.bodies.overview import Bar, Line, Now, Overview, Part, Results
from admin.charts import Chart, Share, Slice
from admin.wording import rfc3339
from gatekeeper.journal.attempts import Result

_RESULTS = [str(result) for result in Result]


def overview_json(live: Mapping[str, Any], gathered: Mapping[str, Any]) -> Overview:
    """What ``OverviewViews`` found, without what a picture of it needs."""
    chart, (waiting, given_up), reach = live["chart"], gathered["mail"], gathered["refused_reach"]
    return {
        "now": cast("Now", {**live["now_is"], "open_signals": live["odd"].total}),
        "range": live["range"],
        "totals": cast("Results", chart.totals),
        "bars": _bars(chart),
        "devices": _lines(gathered["devices"]),
        "browsers": _lines(gathered["browsers"]),
        "systems": _lines(gathered["systems"]),
        "methods": _lines(gathered["methods"]),
        "reasons": _lines(gathered["reasons"]),
        "countries": _lines(gathered["countries"]),
        "refused_addresses": _lines(gathered["addresses"]),
        "refused_emails": _lines(gathered["emails"]),
        "refused_since": None if reach is None else rfc3339(reach),
        "health": [_part(name, well) for name, well in gathered["health"]],
        "mail": {"waiting": waiting, "given_up": given_up},
    }


def _bars(chart: Chart) -> list[Bar]:
    found: list[Bar] = []
    for bar in chart.bars:
        counts = dict.fromkeys(_RESULTS, 0) | {part.result: part.attempts for part in bar.parts}
        found.append(cast("Bar", {"since": rfc3339(bar.start), "until": rfc3339(bar.end), **counts}))
    return found


def _lines(found: Sequence[Share | Slice]) -> list[Line]:
    return [{"value": one.value, "attempts": one.attempts} for one in found]


def _part(name: str, well: bool) -> Part:
    return {"name": name, "well": well}
