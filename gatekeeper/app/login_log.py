"""What the login log is made of in one worker: recorder, spool, drain. Called by ``gatekeeper.app.build``."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gatekeeper.config.model import Config
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.journal.attempts import Attempt, AttemptLog
from gatekeeper.journal.caps import FloodCaps
from gatekeeper.journal.drain import Drain
from gatekeeper.journal.measured import MeasuredAttempts
from gatekeeper.journal.recorder import LoginRecorder
from gatekeeper.journal.spool import Spool
from gatekeeper.observe.metrics import Metrics
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.tokens.keyring import derive

FOLDER: Final = "spool"  # below data_dir
_LAST_WORDS: Final = 1.0  # seconds at the end of a worker for what still waits; the rest is the next one's


@dataclass(frozen=True, slots=True)
class LoginLog:
    """``attempts`` is what identity writes to."""

    attempts: AttemptLog
    spool: Spool
    drain: Drain

    async def close(self) -> None:
        """Once nothing is recorded any more and the drain has ended."""
        await self.spool.close()

    async def settle(self, within: float = _LAST_WORDS) -> None:
        """See what waits into the database, for ``within`` seconds at the longest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.drain.settle()


def login_log(
    config: Config, store: PostgresLoginLog, metrics: Metrics, secret: str, on_kept: Callable[[Attempt], None]
) -> LoginLog:
    """All of it, at rest; ``on_kept`` hears of each attempt as it is kept."""
    logs, folder = config.logs, config.storage.data_dir / FOLDER
    spool = Spool(folder, sync=logs.spool_sync, most=logs.spool_max)
    caps = FloodCaps(session=logs.caps.session, address=logs.caps.address, minute=logs.caps.minute)
    hide = hidden_email(secret) if logs.unknown_emails == "hashed" else None
    recorder = LoginRecorder(spool, store, caps, hide=hide, on_suppressed=metrics.login_suppressed, on_kept=on_kept)
    metrics.login_log_spooled = lambda: spool.waiting
    drain = Drain(spool, store, folder / "rejected.jsonl")
    return LoginLog(MeasuredAttempts(recorder, metrics), spool, drain)


def hidden_email(secret: str) -> Callable[[str], str]:
    """What is kept of an e-mail that nobody has: the same for every way to type it, and not to be read back."""
    key = derive(secret, "login-log-emails")

    def hide(typed: str) -> str:
        try:
            text = canonical_email(typed)
        except InvalidEmail:
            text = typed
        return "hmac:" + hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()[:32]

    return hide
