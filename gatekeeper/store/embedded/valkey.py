"""The embedded Valkey (or Redis): its data and ``redis.conf`` under ``data_dir/redis``, its start and end.

Used by ``gatekeeper.store.embedded`` and, with ``durable=False``, by the tests' servers. It listens on a unix socket
only and asks for a password; both stand in ``redis.conf`` (0600), for a person with redis-cli.
"""

from __future__ import annotations

import re
import secrets
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded import engines
from gatekeeper.store.embedded.account import Account, private_folder, read_private, write_private
from gatekeeper.store.embedded.engines import Engine
from gatekeeper.store.embedded.process import Child, Steps, end_orphan, read_pid, spawn

STEPS: Final[Steps] = ((signal.SIGTERM, 15.0),)

_START_TIMEOUT: Final = 120.0  # seconds; loading takes its time
_ANSWER_TIMEOUT: Final = 5.0
_STEP: Final = 0.005
_PASSWORD: Final = re.compile(r'^requirepass "?([\w-]{20,})"?\s*$', re.MULTILINE | re.ASCII)
_LAST_COMPATIBLE_REDIS: Final = (7, 2)  # whose files Valkey reads
_HELLO: Final = b"+OK\r\n+PONG\r\n"


@dataclass(slots=True)
class ValkeyServer:
    """One data folder and, once started, its server. ``run`` is the folder of its socket.

    ``options`` are further arguments, such as ``("--maxmemory", "1gb")``.
    """

    data_dir: Path
    account: Account
    run: Path
    durable: bool = True
    options: tuple[str, ...] = ()
    name: str = "redis"
    steps: Steps = STEPS
    child: Child | None = None

    @property
    def data(self) -> Path:
        """Valkey's own folder."""
        return self.data_dir / "redis"

    def start(self) -> None:
        """Start it; returns once it takes the password and has loaded its data."""
        private_folder(self.data, self.account)
        engine = self._engine()
        end_orphan(read_pid(self.data / "valkey.pid"), self._config, STEPS)
        write_private(self._config, self._settings(self._password() or secrets.token_urlsafe(32)), self.account)
        command = [str(engine.program), str(self._config), *self.options]
        self.child = spawn(command, self.account, self.data_dir / "redis.log", STEPS[0][0])
        self._wait(self.child)
        write_private(self.data / "engine", f"{engine.product} {engine.version[0]}.{engine.version[1]}\n", self.account)

    def address(self, database: int = 0) -> str:
        """A URL with the password, as redis-py takes it."""
        return f"unix://:{self._password() or ''}@{quote(str(self._socket))}?db={database}"

    def answers(self) -> bool:
        """Whether it takes the password and answers now; ``StartupError`` where the password is refused."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_TIMEOUT)
                connection.connect(str(self._socket))
                connection.sendall(f"AUTH {self._password() or '-'}\r\nPING\r\n".encode())
                with connection.makefile("rb") as lines:
                    answer = lines.readline(200) + lines.readline(200)
        except OSError:
            return False
        if answer.startswith(b"-WRONGPASS"):
            raise StartupError(f"the server at {self._socket} refuses the password in {self._config}")
        return answer == _HELLO  # else it is loading

    @property
    def _config(self) -> Path:
        return self.data / "redis.conf"

    @property
    def _socket(self) -> Path:
        return self.run / "valkey.sock"

    def _password(self) -> str | None:
        found = _PASSWORD.search(read_private(self._config) or "")
        return found[1] if found else None

    def _settings(self, password: str) -> str:
        keep = 'appendonly yes\nappendfsync everysec\nsave ""\n' if self.durable else 'appendonly no\nsave ""\n'
        return (
            "# Written by gatekeeper at each start; only the password is kept.\n"
            f"port 0\nunixsocket {_quoted(self._socket)}\nunixsocketperm 700\nrequirepass {password}\n"
            f"dir {_quoted(self.data)}\n{keep}maxmemory-policy noeviction\n"
            f"pidfile {_quoted(self.data / 'valkey.pid')}\ndaemonize no\nset-proc-title no\nloglevel warning\n"
        )

    def _engine(self) -> Engine:
        """The first found that reads what is there."""
        written = (read_private(self.data / "engine") or "").split()
        if len(written) != 2:
            written = ["redis", "0.0"]
        product, version = written[0], tuple(int(part) for part in re.findall(r"\d+", written[1]))

        def reads(engine: Engine) -> bool:
            if engine.product == product:
                return engine.version >= version
            return engine.product == "valkey" and version <= _LAST_COMPATIBLE_REDIS

        engine, seen = engines.pick("redis", self.account, self.data_dir, reads)
        if engine is None:
            raise StartupError(
                f"{self.data} was written by {' '.join(written)}, found is {', '.join(map(str, seen))}: put that server"
                " on PATH, or move the folder away (everyone then logs in again)"
            )
        return engine

    def _wait(self, child: Child) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not self.answers():
            if child.process.poll() is not None:
                raise StartupError(f"Valkey ended at its start: {child.said() or 'it said nothing'}")
            if time.monotonic() > deadline:
                raise StartupError(f"Valkey did not answer within {_START_TIMEOUT:g} s: {child.said()}")
            time.sleep(_STEP)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
