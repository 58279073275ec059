"""Login attempts that are counted as they are recorded. Wraps an ``AttemptLog``; built by ``gatekeeper.app``."""

from __future__ import annotations

from gatekeeper.journal.attempts import Attempt, AttemptLog
from gatekeeper.observe.metrics import Metrics


class MeasuredAttempts:
    """An AttemptLog with a metric."""

    def __init__(self, log: AttemptLog, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    async def record_attempt(self, attempt: Attempt) -> None:
        """Count it, write it."""
        self._metrics.login(attempt.result, attempt.reason or "", attempt.method)
        await self._log.record_attempt(attempt)
