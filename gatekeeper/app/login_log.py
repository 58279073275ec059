"""What the login log is made of in one worker: recorder, spool, drain. Called by ``gatekeeper.app.build``."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.config.model import Config
from gatekeeper.config.processes import worker_count
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.journal.archive import Archive
from gatekeeper.journal.attempts import Attempt, AttemptLog
from gatekeeper.journal.caps import FloodCaps
from gatekeeper.journal.drain import Drain
from gatekeeper.journal.measured import MeasuredAttempts
from gatekeeper.journal.recorder import LoginRecorder
from gatekeeper.journal.retention import LoginKeeper, Retention
from gatekeeper.journal.spool import Spool
from gatekeeper.observe.metrics import Metrics
from gatekeeper.store.login_months import PostgresLoginMonths
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.keyring import derive

FOLDER: Final = "spool"  # below data_dir
MONTHS_TIMEOUT: Final = 600.0  # seconds for one statement about a whole month
_LAST_WORDS: Final = 1.0  # seconds at the end of a worker for what still waits; the rest is the next one's


class Stores(Protocol):
    """The part of ``parts.Stores`` that is needed here."""

    @property
    def postgres(self) -> Postgres: ...

    @property
    def login_log(self) -> PostgresLoginLog: ...


@dataclass(frozen=True, slots=True)
class LoginLog:
    """``attempts`` is what identity writes to."""

    attempts: AttemptLog
    spool: Spool
    drain: Drain
    keeper: LoginKeeper

    async def close(self) -> None:
        """Once nothing is recorded any more and the drain has ended."""
        await self.spool.close()

    async def settle(self, within: float = _LAST_WORDS) -> None:
        """See what waits into the database, for ``within`` seconds at the longest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.drain.settle()


def login_log(
    config: Config,
    stores: Stores,
    metrics: Metrics,
    secret: str,
    clock: Clock,
    on_kept: Callable[[Attempt], None],
) -> LoginLog:
    """All of it, at rest; ``on_kept`` hears of each attempt as it is kept."""
    logs, folder, store = config.logs, config.storage.data_dir / FOLDER, stores.login_log
    spool = Spool(folder, sync=logs.spool_sync, most=logs.spool_max)
    caps = flood_caps(config)
    hide = hidden_email(secret) if logs.unknown_emails == "hashed" else None
    recorder = LoginRecorder(
        spool,
        store,
        caps,
        hide=hide,
        on_suppressed=metrics.login_suppressed,
        on_direct=partial(metrics.store_error, "spool", "direct"),
        on_kept=on_kept,
    )
    metrics.login_log_spooled = lambda: spool.waiting
    drain = Drain(spool, store, folder / "rejected.jsonl")
    keeper = LoginKeeper(lambda: retention(config, stores.postgres), clock)
    return LoginLog(MeasuredAttempts(recorder, metrics), spool, drain, keeper)


def flood_caps(config: Config) -> FloodCaps:
    """Those of one worker. Sessions and addresses may come by one connection, and so to one worker alone; of all
    attempts, which come evenly, each worker has its share, so that the cap is that of the gate.
    """
    caps, workers = config.logs.caps, worker_count(config.workers)
    return FloodCaps(session=caps.session, address=caps.address, minute=-(-caps.minute // workers))


@contextlib.asynccontextmanager
async def retention(config: Config, postgres: Postgres) -> AsyncIterator[Retention]:
    """What makes months and lets them go, over a connection of its own."""
    logs, months = config.logs, postgres.patient(MONTHS_TIMEOUT)
    archive = Archive(logs.archive_to) if logs.archive_to is not None else None
    try:
        yield Retention(PostgresLoginMonths(months), archive, retain=logs.retain, most=logs.retain_size)
    finally:
        await months.close()


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
