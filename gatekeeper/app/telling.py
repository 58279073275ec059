"""Who is told what happens: the hub of events and its receivers. For ``build`` and commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gatekeeper.app.mail import sealer_of
from gatekeeper.bootstrap import secret_of
from gatekeeper.clock import Clock, SystemClock
from gatekeeper.config.messages import Syslog as SyslogSection
from gatekeeper.config.model import Config
from gatekeeper.events.hooks import EventParcels
from gatekeeper.events.hub import Hub, Receiver
from gatekeeper.events.jsonlines import JsonLines
from gatekeeper.events.names import Wanted
from gatekeeper.events.syslog import PORTS, Syslog, SyslogServer, Transport
from gatekeeper.observe.metrics import Metrics
from gatekeeper.store.activity import RedisActivity
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis

_PATIENCE = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Telling:
    """The hub, and the receiver whose ``wake`` must be set once there is a delivery."""

    hub: Hub
    parcels: EventParcels


def build_telling(
    config: Config, postgres: Postgres, redis: Redis, journal: PostgresJournal, clock: Clock, metrics: Metrics | None
) -> Telling:
    """The hub with all receivers of the configuration; it is told of what the journal writes. Raises StartupError."""
    notify = config.notify
    wanted = {hook.url: Wanted(hook.events) for hook in notify.webhooks}
    sealer = sealer_of(secret_of(config.storage))
    parcels = EventParcels(PostgresOutbox(postgres), sealer, wanted, clock)
    receivers: dict[str, Receiver] = {"activity": RedisActivity(redis)}
    if wanted:
        receivers["webhooks"] = parcels
    if notify.lines.path is not None:
        receivers["lines"] = JsonLines(notify.lines.path, Wanted(notify.lines.events))
    if notify.syslog.address is not None:
        receivers["syslog"] = _syslog(notify.syslog.address, notify.syslog)
    hub = Hub(receivers, metrics.event) if metrics else Hub(receivers)
    journal.on_change = hub.changed
    return Telling(hub, parcels)


@asynccontextmanager
async def told(config: Config, postgres: Postgres, redis: Redis, journal: PostgresJournal) -> AsyncIterator[None]:
    """Within, what a command writes into the journal is told to all receivers, before it ends.

    A receiver that is away keeps the command for some seconds at most. Raises StartupError.
    """
    telling = build_telling(config, postgres, redis, journal, SystemClock(), None)
    try:
        yield
    finally:
        await telling.hub.flush(_PATIENCE)


def _syslog(address: str, section: SyslogSection) -> Syslog:
    if address.startswith("unix:"):
        server = SyslogServer("unix", address.removeprefix("unix:"))
    else:
        parts = urlsplit(address)
        transport: Transport = parts.scheme  # type: ignore[assignment]  # checked by the configuration
        server = SyslogServer(transport, parts.hostname or "", parts.port or PORTS[transport], section.ca)
    return Syslog(server, section.facility, Wanted(section.events))
