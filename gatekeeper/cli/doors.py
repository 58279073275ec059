"""What ``gatekeeper check`` says of the way in: listeners, certificates, trusted proxies, ports.

Each function yields findings; none raises for what it looks at.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gatekeeper.cli.findings import USUAL_PORT, Finding, fault, ok, readable_by_all, warn
from gatekeeper.clock import SystemClock
from gatekeeper.config.forms import is_loopback, listen_place
from gatekeeper.config.model import Config
from gatekeeper.config.networks import BadNetworks, NetworkFile
from gatekeeper.doors import pairs_of
from gatekeeper.errors import StartupError
from gatekeeper.listeners import Listeners
from gatekeeper.server.certificates import Loaded, load
from gatekeeper.upstream.tls import BadTls

SOON: Final = 14.0  # days before the end of a certificate


def way_in(config: Config) -> Iterator[Finding]:
    """How clients get from public_url to the gate."""
    url, ways = urlsplit(config.public_url), config.listeners
    port, addresses = url.port or USUAL_PORT[url.scheme], ", ".join(one.address for one in ways)
    if url.scheme == "https" and not any(one.tls for one in ways) and not config.trusted_proxies:
        yield warn(
            "address",
            "https needs TLS: set tls and listen: [{address, tls: true}], or name the proxy in trusted_proxies",
        )
    open_to = {listen_place(one.address)[1] for one in ways}
    if url.scheme == "http" and is_loopback(url.hostname or "") and port not in open_to:
        yield warn("address", f"nothing listens on port {port} of public_url; listen is {addresses}")
    for one in ways:
        if one.proxy_protocol:
            yield ok("listen", f"{one.address}: the Proxy Protocol, from trusted_proxies only")


def certificates(config: Config, now: float | None = None) -> Iterator[Finding]:
    """Each pair can be used, is valid ``now`` (Unix seconds) and for a while, and somebody covers the hosts served."""
    at = datetime.fromtimestamp(SystemClock().now() if now is None else now, tz=UTC)
    loaded: list[Loaded] = []
    for pair in pairs_of(config.tls):
        try:
            one = load(pair)
        except BadTls as bad:
            yield fault(bad.key, str(bad))
            continue
        loaded.append(one)
        yield _life(one, at)
        holder = pair.key or pair.cert
        if readable_by_all(holder):
            yield warn(f"{pair.place}.key", f"everyone on this machine can read {holder}; make it mode 600")
    if loaded:
        yield from _covered(config, loaded)


def _life(one: Loaded, at: datetime) -> Finding:
    place, ends = f"{one.pair.place}.cert", one.not_after.strftime("%Y-%m-%d")
    days = (one.not_after - at).total_seconds() / 86_400
    if days <= 0:
        return fault(place, f"{one.pair.cert} expired on {ends}")
    if at < one.not_before:
        return fault(place, f"{one.pair.cert} is not valid before {one.not_before:%Y-%m-%d %H:%M} UTC")
    if days < SOON:
        return warn(place, f"{one.pair.cert} expires on {ends}, in {int(days)} days")
    return ok(place, f"{one.pair.cert} for {', '.join(one.names) or 'no name at all'}, good until {ends}")


def _covered(config: Config, loaded: list[Loaded]) -> Iterator[Finding]:
    public = urlsplit(config.public_url).hostname or ""
    if not any(one.covers(public) for one in loaded):
        yield fault("tls.cert", f"no certificate is for {public}, the host of public_url: browsers will refuse it")
    panel = urlsplit(config.panel_url).hostname or ""
    by_tls = config.panel_listener is not None and config.panel_listener.tls
    if by_tls and panel != public and not any(one.covers(panel) for one in loaded):
        yield fault("tls.cert", f"no certificate is for {panel}, the host of the panel: browsers will refuse it")
    for host in config.hosts:
        name = (urlsplit(f"//{host}").hostname or "").removeprefix("*.")
        asked = f"any.{name}" if host.startswith("*.") else name
        if not any(one.covers(asked) for one in loaded):
            yield warn("tls.cert", f"no certificate is for {host}, which hosts serves")


def trusted(config: Config) -> Iterator[Finding]:
    """Whom the gate believes."""
    for index, entry in enumerate(config.trusted_proxies):
        place = f"trusted_proxies[{index}]"
        if not isinstance(entry, NetworkFile):
            networks = [entry]
        else:
            try:
                networks = entry.read()
            except BadNetworks as bad:
                yield fault(place, str(bad))
                continue
            yield ok(place, f"{entry.path}: {len(networks)} network{'' if len(networks) == 1 else 's'}")
        if any(network.prefixlen == 0 for network in networks):
            yield warn(place, "every address is trusted: any client can name another address, host and scheme")


def ports(config: Config) -> Iterator[Finding]:
    """The addresses to listen on are free, or held by a gate of the same data_dir."""
    holder = running_gate(config.storage.data_dir)
    wanted = [("listen", listener.address) for listener in config.listeners]
    if config.panel_listener is not None:
        wanted.append(("admin.listen", config.panel_listener.address))
    for key, one in wanted:
        try:
            Listeners.bind([one], 1, key=key, patience=0.0).close()
        except StartupError as problem:
            if holder is None:
                yield fault(key, str(problem))
            else:
                yield ok(key, f"{one}: the gate of this data_dir runs (process {holder})")
        else:
            yield ok(key, f"{one} is free")


def running_gate(data_dir: Path) -> str | None:
    """The process that holds the lock of the data folder; the lock ends with its holder."""
    try:
        with (data_dir / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read(20).decode("ascii", "replace").strip()
    except OSError:
        pass
    return None
