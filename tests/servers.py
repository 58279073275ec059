"""Real servers for tests: a private PostgreSQL and Valkey that a test may also stop, kill, pause and restart.

They are the embedded servers of ``gatekeeper.store.embedded``, told not to sync. The shared ones of a session come
from tests/conftest.py. A second one, to be broken on purpose: ``with short_folder() as folder,
valkey_server(folder) as server: ... server.kill() ... server.start()``; so does ``postgres_server``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatekeeper.store.embedded import account as accounts
from gatekeeper.store.embedded.postgres import PostgresServer
from gatekeeper.store.embedded.valkey import ValkeyServer

PATIENCE = 60.0  # seconds; on a machine under any load


@contextmanager
def short_folder() -> Iterator[Path]:
    """A 0700 folder of the servers' user whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="gk", dir="/tmp") as name:
        folder = Path(name).resolve()
        account = accounts.choose(folder)
        os.chown(folder, account.uid, account.gid)
        yield folder


class Server:
    """One server; every method returns when its effect is there.

    Start it from the main thread: on Linux a server ends with the thread that started it.
    """

    def __init__(self, server: PostgresServer | ValkeyServer) -> None:
        self._server = server
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """A libpq URL, or one that redis-py takes, with the password; the same after every start."""
        return self._server.address()

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """Its process, the postmaster for PostgreSQL."""
        assert self._child is not None, "it was never started"
        return self._child

    def start(self) -> None:
        """Start and wait until it answers."""
        try:
            self._server.start()
        finally:
            self._child = self._server.child.process if self._server.child else None

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(self._server.steps[0][0])

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, new ones are queued, nothing answers (PostgreSQL's backends go on)."""
        self._send(signal.SIGSTOP)
        _, status = os.waitpid(self.child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended instead"

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self._send(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _send(self, number: int) -> None:
        self.child.send_signal(number)

    def _end(self, number: int) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        self._send(number)
        self._send(signal.SIGCONT)
        self._child.wait(PATIENCE)


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[Server]:
    """A started Valkey (or Redis); ``options`` are arguments. Nothing is kept on disk unless they say so."""
    account = accounts.choose(folder)
    yield from _running(Server(ValkeyServer(folder, account, _run(folder, account), durable=False, options=options)))


@contextmanager
def postgres_server(folder: Path, *options: str) -> Iterator[Server]:
    """A started PostgreSQL; ``options`` are further settings, ``name=value``. The role may create databases.

    Without autovacuum: its workers are the superuser's, so a database that one is in could not be dropped.
    """
    account = accounts.choose(folder)
    further = tuple(part for option in ("autovacuum=off", *options) for part in ("-c", option))
    server = PostgresServer(folder, account, _run(folder, account), 100, durable=False, options=further)
    yield from _running(Server(server))


def _run(folder: Path, account: accounts.Account) -> Path:
    return accounts.private_folder(folder / "run", account)


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill() if isinstance(server._server, ValkeyServer) else server.stop()
