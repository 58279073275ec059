"""The embedded servers: a private PostgreSQL and Valkey as child processes, on unix sockets under ``data_dir``.

``serve`` (the supervisor) runs inside ``embedded_servers(...)``; a command that needs the stores does so with
``attach=True`` and shares the servers of a running gate. All of it blocks, and belongs on the main thread.

``data_dir`` then holds ``lock``, ``guests``, ``postgres/``, ``postgres.password``, ``redis/`` with ``redis.conf``,
``run/`` (the sockets), two logs and, only under root and only if needed, ``engines/`` (copied programs).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded import account as accounts
from gatekeeper.store.embedded import sockets
from gatekeeper.store.embedded.lock import FileLock
from gatekeeper.store.embedded.postgres import PostgresServer
from gatekeeper.store.embedded.process import begin_end, finish_end
from gatekeeper.store.embedded.valkey import ValkeyServer

__all__ = ["Embedded", "Ended", "StoreAddresses", "embedded_servers"]

_LOCK_PATIENCE: Final = 10.0  # seconds that a start waits for the gate before it to be gone
_HANDING_OVER: Final = 1.0  # seconds
_ATTACH_PATIENCE: Final = 30.0  # seconds that a command waits for a starting gate's servers
_GUEST_PATIENCE: Final = 30.0  # seconds that a command lets others finish on its servers
_STEP: Final = 0.05

Server: TypeAlias = PostgresServer | ValkeyServer


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """Where the servers are, with their passwords; None for one that was not asked for.

    ``postgres`` is a libpq URL, ``redis`` a ``unix://`` URL as redis-py takes it.
    """

    postgres: str | None = field(repr=False)
    redis: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """A server that ended by itself: ``postgres`` or ``redis``, its exit status (-n: signal n), its last words."""

    name: str
    status: int
    said: str

    def __str__(self) -> str:
        how = f"was killed by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        return f"embedded {self.name} {how}" + (f": {self.said}" if self.said else "")


class Embedded:
    """The servers inside ``embedded_servers``; ``attached`` where they are another process's."""

    def __init__(self, servers: Sequence[Server], *, attached: bool) -> None:
        self._servers = {server.name: server for server in servers}
        self.attached = attached
        places = {server.name: server.address() for server in servers}
        self.addresses = StoreAddresses(places.get("postgres"), places.get("redis"))

    def poll(self) -> list[Ended]:
        """Which servers have ended, until they are restarted; never any for attached ones. Does not wait."""
        ended = []
        for name, server in self._servers.items():
            if server.child and (status := server.child.process.poll()) is not None:
                ended.append(Ended(name, status, server.child.said()))
        return ended

    def restart(self, name: str) -> None:
        """Start ``postgres`` or ``redis`` again under the same address; ``StartupError`` if it does not."""
        self._servers[name].start()


@contextmanager
def embedded_servers(
    data_dir: Path, *, postgres: bool, redis: bool, attach: bool = False, connections: int = 60
) -> Iterator[Embedded]:
    """Start the servers asked for, under the lock of ``data_dir``, and stop them at the end.

    With ``attach``, the servers of a process that holds the lock are used as they are, once they answer; if nobody
    holds it they are started and stopped as without. ``connections`` is PostgreSQL's ``max_connections``. Raises
    ``StartupError``, one line, for whatever keeps a server from running, a second gate on the folder included.
    """
    if not postgres and not redis:
        yield Embedded((), attached=False)
        return
    data_dir = data_dir.resolve()  # how a server of a killed gate is recognised
    accounts.prepare_data_dir(data_dir)
    lock, guests = FileLock(data_dir / "lock"), FileLock(data_dir / "guests")
    try:
        if attach:
            attached = _attach_or_take(data_dir, lock, guests, postgres=postgres, redis=redis)
            if attached:
                yield attached
                return
        elif not lock.take(_LOCK_PATIENCE):
            raise StartupError(
                f"storage.data_dir: {data_dir} is in use by another gate (pid {lock.holder()}); stop that one, or give"
                " this one another data_dir"
            )
        with _started(data_dir, postgres=postgres, redis=redis, connections=connections) as embedded:
            try:
                yield embedded
            finally:
                if attach:  # a command's servers; others may have attached to them
                    guests.take(_GUEST_PATIENCE)
    finally:
        guests.release()
        lock.release()


@contextmanager
def _started(data_dir: Path, *, postgres: bool, redis: bool, connections: int) -> Iterator[Embedded]:
    account = accounts.choose(data_dir)
    accounts.open_the_way(data_dir, account)
    run = sockets.make(data_dir, account)
    servers: list[Server] = []
    try:
        if redis:
            servers.append(ValkeyServer(data_dir, account, run))
            servers[-1].start()
        if postgres:
            servers.append(PostgresServer(data_dir, account, run, connections))
            servers[-1].start()
        yield Embedded(servers, attached=False)
    finally:
        _stop(servers)
        sockets.remove(data_dir, run)


def _stop(servers: Sequence[Server]) -> None:
    """All at once: each gets its signal before one is waited for."""
    for server in servers:
        if server.child:
            begin_end(server.child, server.steps)
    for server in servers:
        if server.child:
            finish_end(server.child, server.steps)
            server.child = None


def _attach_or_take(
    data_dir: Path, lock: FileLock, guests: FileLock, *, postgres: bool, redis: bool
) -> Embedded | None:
    """The running servers, held up by the lock on ``guests``; or None with ``lock`` taken."""
    deadline = time.monotonic() + _ATTACH_PATIENCE
    while not lock.try_take():
        if guests.try_take(shared=True):
            try:
                servers = _running(data_dir, postgres=postgres, redis=redis)
            except StartupError:
                # A gate that is just starting has made its folder and not yet given it to the servers' user.
                if time.monotonic() > deadline - _ATTACH_PATIENCE + _HANDING_OVER:
                    raise
                servers = []
            if servers and all(server.answers() for server in servers):
                return Embedded(servers, attached=True)
            guests.release()
        if time.monotonic() > deadline:
            raise StartupError(
                f"storage.data_dir: {data_dir} is held by process {lock.holder()}, whose embedded servers do not answer"
            )
        time.sleep(_STEP)
    return None


def _running(data_dir: Path, *, postgres: bool, redis: bool) -> list[Server]:
    account = accounts.choose(data_dir)
    run = sockets.find(data_dir, account)
    if run is None:
        return []
    first: list[Server] = [PostgresServer(data_dir, account, run)] if postgres else []
    return [*first, ValkeyServer(data_dir, account, run)] if redis else first
