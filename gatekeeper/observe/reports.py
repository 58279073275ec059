"""What rules and limits that only report would have done, as log lines that no flood of requests makes many.

Called by ``surfaces.entrance``. The metric counts every one; the log shows some of each kind, and how many it left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from policies.model import Report

SHOWN: Final = 10  # lines of a rule, a verdict and a reason
EVERY: Final = 60.0  # seconds
_MOST_KINDS: Final = 10_000  # rules that reloads have taken away stay until then

_log = logging.getLogger("gatekeeper.entrance")


@dataclass(slots=True)
class _Kind:
    since: float
    shown: int = 0
    left_out: int = 0


class ReportLines:
    """One for a worker."""

    def __init__(self) -> None:
        self._kinds: dict[Report, _Kind] = {}

    def write(self, report: Report, path: str, request_id: str, now: float) -> None:
        """A line, or one more left out; ``now`` in Unix seconds."""
        kind = self._kinds.get(report)
        if kind is None or not kind.since <= now < kind.since + EVERY:
            left_out = 0 if kind is None else kind.left_out
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            kind = self._kinds[report] = _Kind(now)
        else:
            left_out = 0
        if kind.shown >= SHOWN:
            kind.left_out += 1
            return
        kind.shown += 1
        facts: dict[str, object] = {
            "rule": report.rule,
            "would": report.verdict.name.lower(),
            "reason": str(report.reason or ""),
            "request_id": request_id,
            "path": path,
        }
        if left_out:
            facts["left_out"] = left_out
        _log.info("a rule that only reports would have decided", extra=facts)
