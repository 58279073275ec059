"""The login log as identity sees it: an attempt is in the spool before it is answered. Built by ``gatekeeper.app``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import orjson

from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.attempts import Attempt, AttemptLog
from gatekeeper.journal.caps import FloodCaps, Reached
from gatekeeper.journal.records import ATTEMPT, SUPPRESSED
from gatekeeper.journal.rows import as_row
from gatekeeper.journal.spool import Spool

_log = logging.getLogger(__name__)


class LoginRecorder:
    """An AttemptLog over the spool. ``direct`` takes what the disk does not; raises StoreUnavailable when both fail.

    ``hide`` makes of an e-mail that nobody has what is kept of it; None: it is kept as typed. ``on_kept`` hears of each
    attempt as it is kept, not of those that are only counted, ``on_direct`` of each that the disk did not take.
    """

    def __init__(
        self,
        spool: Spool,
        direct: AttemptLog,
        caps: FloodCaps,
        *,
        hide: Callable[[str], str] | None = None,
        on_suppressed: Callable[[str], None] = lambda _: None,
        on_direct: Callable[[], None] = lambda: None,
        on_kept: Callable[[Attempt], None] = lambda _: None,
    ) -> None:
        self._spool = spool
        self._direct = direct
        self._caps = caps
        self._hide = hide
        self._on_suppressed = on_suppressed
        self._on_direct = on_direct
        self._on_kept = on_kept

    async def record_attempt(self, attempt: Attempt) -> None:
        """Keep it, or count it where there are too many."""
        reached = self._caps.take(attempt)
        if reached is not None:
            self._on_suppressed(reached.cap)
            await self._spool.append(SUPPRESSED, _left_out(attempt, reached))
            return
        if self._hide is not None and attempt.user_id is None and attempt.email:
            attempt = dataclasses.replace(attempt, email=self._hide(attempt.email))
        try:
            await self._spool.append(ATTEMPT, orjson.dumps(as_row(attempt)))
        except StoreUnavailable as fault:
            _log.warning("login log: %s; an attempt goes to the database at once", fault)
            self._on_direct()
            await self._direct.record_attempt(attempt)
        self._on_kept(attempt)


def _left_out(attempt: Attempt, reached: Reached) -> bytes:
    row = as_row(attempt)
    kept = {name: row[name] for name in ("time", "result", "reason", "country")}
    return orjson.dumps({**kept, "device": row["device_kind"], "cap": reached.cap, "subject": reached.subject})
