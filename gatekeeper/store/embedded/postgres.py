"""The embedded PostgreSQL: its cluster under ``data_dir/postgres``, its settings, its start and end.

Used by ``gatekeeper.store.embedded`` and, with ``durable=False``, by the tests' servers. It listens on a unix socket
only; the one role that can log in is ``gatekeeper``, by password (scram-sha-256), to the database it owns.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg2

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded import engines
from gatekeeper.store.embedded.account import Account, read_private, write_private
from gatekeeper.store.embedded.engines import Engine
from gatekeeper.store.embedded.process import Child, Steps, end_orphan, exists, is_running, read_pid, run, spawn

STEPS: Final[Steps] = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
"""Fast shutdown, then immediate."""

_START_TIMEOUT: Final = 120.0  # seconds; recovery after a crash takes its time
_BUSY_TIMEOUT: Final = 15.0  # seconds in which the processes of a killed server must be gone
_CONNECT_TIMEOUT: Final = 5  # seconds
_STEP: Final = 0.01
_PORT: Final = 5432  # part of the socket's name only
_HBA: Final = (
    "# Written by gatekeeper: the gate's own role, by password, nobody else.\nlocal all gatekeeper scram-sha-256\n"
)
_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "huge_pages": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_SINCE: Final = {18: {"io_method": "sync"}}  # no processes of its own for reading


@dataclass(slots=True)
class PostgresServer:
    """One cluster and, once started, its postmaster. ``run`` is the folder of its socket.

    ``options`` are further arguments, such as ``("-c", "work_mem=1MB")``.
    """

    data_dir: Path
    account: Account
    run: Path
    connections: int = 60
    durable: bool = True
    options: tuple[str, ...] = ()
    name: str = "postgres"
    steps: Steps = STEPS
    child: Child | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self.data_dir / "postgres"

    def start(self) -> None:
        """Start it, making the cluster where there is none; returns once it takes the password."""
        engine = self._engine()
        self._clear()
        if not self.data.exists():
            self._create(engine)
        elif read_private(self._password_file) is None:
            self._set_password(engine)
        log = self.data_dir / "postgres.log"
        deadline = time.monotonic() + _BUSY_TIMEOUT
        while True:
            self.child = spawn(
                [*self._command(engine), *self._socket_options(), *self.options], self.account, log, STEPS[0][0]
            )
            if self._wait(self.child):
                return
            said = self.child.said()
            if "still in use" not in said or time.monotonic() > deadline:  # shared memory, by a killed server's
                raise StartupError(f"PostgreSQL ended at its start: {said or 'it said nothing'}")
            time.sleep(_STEP * 10)

    def address(self, database: str = "gatekeeper") -> str:
        """A libpq URL with the password."""
        password = (read_private(self._password_file) or "").strip()
        return f"postgresql://gatekeeper:{quote(password, safe='')}@/{database}?host={quote(str(self.run), safe='')}"

    def answers(self) -> bool:
        """Whether a connection succeeds now; ``StartupError`` where the password is refused."""
        try:
            psycopg2.connect(self.address(), connect_timeout=_CONNECT_TIMEOUT).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StartupError(
                    f"PostgreSQL refuses the password in {self._password_file}; remove that file to have a new one set"
                ) from None
            return False
        return True

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    def _engine(self) -> Engine:
        """A program of the data's major version, which no other opens; the first found where there are no data."""
        try:
            major = int((self.data / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            if self.data.exists() and any(self.data.iterdir()):
                raise StartupError(f"{self.data} holds something, but not PostgreSQL's data; move it away") from None
            return self._first()
        except (OSError, ValueError) as error:
            raise StartupError(f"{self.data}/PG_VERSION cannot be read: {error}") from None
        engine, seen = engines.pick("postgres", self.account, self.data_dir, lambda each: each.version[0] == major)
        if engine is None:
            raise StartupError(
                f"{self.data} was written by PostgreSQL {major}, found is {', '.join(map(str, seen))}: put PostgreSQL"
                f" {major} on PATH to go on; to migrate, pg_dump while that runs, then move the folder away, start the"
                " gate with the new one and load the dump with psql"
            )
        return engine

    def _first(self) -> Engine:
        engine, seen = engines.pick("postgres", self.account, self.data_dir, lambda each: each.initdb.exists())
        if engine is None:
            raise StartupError(f"initdb is missing beside {seen[0].program}; it belongs to PostgreSQL's server package")
        return engine

    def _create(self, engine: Engine) -> None:
        """Made aside and then named, so that a gate killed in between leaves no half a cluster."""
        new = self.data_dir / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        os.chown(new, self.account.uid, self.account.gid)
        sync = () if self.durable else ("--no-sync", "--wal-segsize=1")
        command = [str(engine.initdb), "-D", str(new), "-U", "postgres", "-A", "reject"]
        options = ("-E", "UTF8", *_locale(engine), "--data-checksums", "--no-instructions", *sync)
        run([*command, *options], self.account)
        write_private(new / "pg_hba.conf", _HBA, self.account)
        password = secrets.token_urlsafe(32)
        create = f"CREATE ROLE gatekeeper LOGIN PASSWORD '{password}'\nCREATE DATABASE gatekeeper OWNER gatekeeper\n"
        self._alone(engine, new, create if self.durable else f"{create}ALTER ROLE gatekeeper CREATEDB\n")
        write_private(self._password_file, f"{password}\n")
        new.rename(self.data)

    def _set_password(self, engine: Engine) -> None:
        password = secrets.token_urlsafe(32)
        self._alone(engine, self.data, f"ALTER ROLE gatekeeper PASSWORD '{password}'\n")
        write_private(self._password_file, f"{password}\n")

    def _alone(self, engine: Engine, data: Path, statements: str) -> None:
        """Run statements, one a line, without a server; so the password is in no argument and on no socket."""
        command = self._command(engine)
        command[1:3] = ["--single", "-D", str(data), "-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]
        run([*command, "template1"], self.account, statements)

    def _command(self, engine: Engine) -> list[str]:
        settings = {**_SETTINGS, "max_connections": str(self.connections)}
        for major, further in _SINCE.items():
            if engine.version[0] >= major:
                settings |= further
        if not self.durable:
            settings |= dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "off")
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(engine.program), "-D", str(self.data), *options]

    def _socket_options(self) -> list[str]:
        folder = str(self.run).replace('"', '""')
        return ["-c", f'unix_socket_directories="{folder}"']  # a list: quoted, a comma is part of the name

    def _clear(self) -> None:
        """What a killed gate may have left: a living postmaster, or files that name a number now someone else's."""
        files = [self.data / "postmaster.pid", self.run / f".s.PGSQL.{_PORT}.lock"]
        pid = read_pid(files[0])
        end_orphan(pid, self.data, STEPS)
        for file in files:
            number = read_pid(file)
            if number and exists(number) and not is_running(number, self.data):
                file.unlink(missing_ok=True)

    def _wait(self, child: Child) -> bool:
        """Wait until it is ready; false when it ended instead."""
        status, deadline = self.data / "postmaster.pid", time.monotonic() + _START_TIMEOUT
        while child.process.poll() is None:
            with suppress(OSError):
                lines = status.read_text(errors="replace").splitlines()
                if len(lines) > 7 and (lines[0], lines[7].strip()) == (str(child.process.pid), "ready"):
                    if self.answers():
                        return True
                    raise StartupError(f"PostgreSQL takes no connection: {child.said() or 'it said nothing'}")
            if time.monotonic() > deadline:
                raise StartupError(f"PostgreSQL was not ready within {_START_TIMEOUT:g} s: {child.said()}")
            time.sleep(_STEP)
        return False


def _locale(engine: Engine) -> tuple[str, ...]:
    """Sorted by code point everywhere; upper and lower case known where that is possible."""
    if engine.version[0] >= 17:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C",) if sys.platform == "darwin" else ("--locale=C.UTF-8",)
