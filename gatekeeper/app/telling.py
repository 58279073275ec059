"""Who is told what happens: the hub of events and its receivers. For ``build`` and commands."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gatekeeper.app.mail import sealer_of
from gatekeeper.app.parts import Stores
from gatekeeper.clock import Clock
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


@dataclass(frozen=True, slots=True)
class Telling:
    """The hub, and the receiver whose ``wake`` must be set once there is a delivery."""

    hub: Hub
    parcels: EventParcels


def build_telling(config: Config, stores: Stores, metrics: Metrics, secret: str, clock: Clock) -> Telling:
    """The hub with all receivers of the configuration, told of every change. Raises StartupError."""
    notify = config.notify
    wanted = {hook.url: Wanted(hook.events) for hook in notify.webhooks}
    parcels = EventParcels(PostgresOutbox(stores.postgres), sealer_of(secret), wanted, clock)
    receivers: dict[str, Receiver] = {"activity": RedisActivity(stores.redis)}
    if wanted:
        receivers["webhooks"] = parcels
    if notify.lines.path is not None:
        receivers["lines"] = JsonLines(notify.lines.path, Wanted(notify.lines.events))
    if notify.syslog.address is not None:
        receivers["syslog"] = _syslog(notify.syslog.address, notify.syslog)
    hub = Hub(receivers, metrics.event)
    stores.journal.on_change = hub.changed
    return Telling(hub, parcels)


def _syslog(address: str, section: SyslogSection) -> Syslog:
    if address.startswith("unix:"):
        server = SyslogServer("unix", address.removeprefix("unix:"))
    else:
        parts = urlsplit(address)
        transport: Transport = parts.scheme  # type: ignore[assignment]  # checked by the configuration
        server = SyslogServer(transport, parts.hostname or "", parts.port or PORTS[transport], section.ca)
    return Syslog(server, section.facility, Wanted(section.events))
