"""The sockets by which clients come into a worker: TLS, the Proxy Protocol, how many. Used by ``gatekeeper.worker``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from gatekeeper.config.listening import Listener, Tls
from gatekeeper.config.model import Config
from gatekeeper.config.networks import BadNetworks, all_networks, files_of
from gatekeeper.config.types import Network
from gatekeeper.errors import StartupError
from gatekeeper.inbound import Arrival, TrustedProxies
from gatekeeper.listeners import BACKLOG, allow_quick_restart
from gatekeeper.observe.metrics import Metrics
from gatekeeper.server.accept import Acceptor, Manner
from gatekeeper.server.certificates import Certificates, Loaded, Pair
from gatekeeper.server.crowd import Crowd
from gatekeeper.upstream.tls import BadTls
from gatekeeper.watch import WatchedFiles

TLS: Final = "tls"
TRUSTED: Final = "trusted_proxies"


def pairs_of(tls: Tls) -> list[Pair]:
    """The certificates of the configuration, the one for everybody first."""
    if tls.cert is None:
        return []
    own = Pair(tls.cert, tls.key, TLS)
    return [own, *(Pair(one.cert, one.key, f"{TLS}.more[{index}]") for index, one in enumerate(tls.more))]


def open_certificates(tls: Tls) -> Certificates | None:
    """What TLS clients are shown; None where there is nothing. Raises StartupError."""
    pairs = pairs_of(tls)
    try:
        return Certificates(pairs, min_version=tls.min_version) if pairs else None
    except BadTls as bad:
        raise StartupError(f"{bad.key}: {bad}") from None


def check_files(config: Config) -> None:
    """Raises StartupError for certificates and lists of networks that cannot be used."""
    open_certificates(config.tls)
    networks(config)


def networks(config: Config) -> list[Network]:
    """Those of ``trusted_proxies``, also in files. Raises StartupError."""
    try:
        return all_networks(config.trusted_proxies)
    except BadNetworks as bad:
        raise StartupError(f"{TRUSTED}: {bad}") from None


Serve = Callable[[Arrival], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Way:
    """A bound socket with what makes the protocol of its connections; in clear they have the scheme ``clear``."""

    socket: socket.socket
    listener: Listener
    clear: str | None
    serve: Serve


def public_ways(config: Config, sockets: Sequence[tuple[socket.socket, int]], serve: Serve) -> list[Way]:
    """Those of ``listen``; each socket comes with its position there."""
    # Without TLS here a proxy ends it; with it, what comes in clear is what it seems.
    clear = "http" if any(one.tls for one in config.listeners) else None
    return [Way(one, config.listeners[entry], clear, serve) for one, entry in sockets]


def panel_ways(config: Config, sockets: Sequence[socket.socket], serve: Serve) -> list[Way]:
    """Those of ``admin.listen``."""
    listener = config.panel_listener
    return [] if listener is None else [Way(one, listener, None, serve) for one in sockets]


class Doors:
    """Every listener of a worker but the internal one."""

    def __init__(self, config: Config, ways: Sequence[Way], trusted: TrustedProxies, metrics: Metrics) -> None:
        self._sockets = [way.socket for way in ways]
        self._certificates = open_certificates(config.tls)
        self._crowd = Crowd(trusted, per_address=config.sizes.connections_per_ip, most=config.sizes.connections)
        self._acceptors = [
            Acceptor(way.socket, self._manner(config, way), way.serve, self._crowd, trusted, metrics.connection_refused)
            for way in ways
        ]
        self._metrics = metrics
        self._watched = [*self._watch_certificates(), *self._watch_trusted(config, trusted)]
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.connections = lambda: self._crowd.size

    def _manner(self, config: Config, way: Way) -> Manner:
        one = way.listener
        return Manner(
            handshake=config.timeouts.handshake,
            scheme="https" if one.tls else way.clear,
            tls=self._certificates.context if one.tls and self._certificates is not None else None,
            proxy_protocol=one.proxy_protocol,
        )

    def open(self) -> Self:
        """Listen, and watch the files. Raises OSError."""
        for one in self._sockets:
            allow_quick_restart(one)
            one.listen(BACKLOG)
        for acceptor in self._acceptors:
            acceptor.start()
        self._tasks = {asyncio.create_task(watched.run()) for watched in self._watched}
        return self

    async def read_again(self) -> None:
        """Read every file again, changed or not."""
        for watched in self._watched:
            await watched.read_again()

    def stop(self) -> None:
        """Nobody else gets in."""
        for acceptor in self._acceptors:
            acceptor.stop()

    async def close(self, patience: float = 0.0) -> None:
        """End what is still on its way in after ``patience`` seconds."""
        for task in self._tasks:
            task.cancel()
        closing = (acceptor.close(patience) for acceptor in self._acceptors)
        await asyncio.gather(*self._tasks, *closing, return_exceptions=True)

    def _watch_certificates(self) -> list[WatchedFiles[Any]]:
        certificates = self._certificates
        if certificates is None:
            return []

        def use(loaded: tuple[Loaded, ...]) -> None:
            certificates.use(loaded)
            for one in loaded:
                self._metrics.certificate(str(one.pair.cert), one.not_after.timestamp())

        use(certificates.loaded)
        told = self._telling(TLS)
        return [WatchedFiles(TLS, certificates.files, certificates.read, use, on_read=told)]

    def _watch_trusted(self, config: Config, trusted: TrustedProxies) -> list[WatchedFiles[Any]]:
        entries = config.trusted_proxies
        files = files_of(entries)
        told = self._telling(TRUSTED)
        return (
            [WatchedFiles(TRUSTED, files, lambda: all_networks(entries), trusted.replace, on_read=told)]
            if files
            else []
        )

    def _telling(self, name: str) -> Callable[[bool], None]:
        return lambda good: self._metrics.files(name, good=good)
