"""For the tests of gatekeeper/store/embedded: servers here and in another process, and questions to them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import redis
from servers import PATIENCE

import gatekeeper
from gatekeeper.store.embedded import Embedded, account, embedded_servers

ROOT = Path(gatekeeper.__file__).parents[1]

HOLDER = """
import json, sys
from pathlib import Path
from gatekeeper.store import embedded
from gatekeeper.store.embedded import process
data_dir, attach, tied, postgres = sys.argv[1], *(word == "True" for word in sys.argv[2:])
if not tied:
    process._tie = lambda death_signal: None  # as on macOS
embedded.postgres._SETTINGS["fsync"] = "off"
try:
    with embedded.embedded_servers(Path(data_dir), postgres=postgres, redis=True, attach=attach) as servers:
        pids = [server.child.process.pid for server in servers._servers.values() if server.child]
        addresses = [servers.addresses.postgres, servers.addresses.redis]
        print(json.dumps({"attached": servers.attached, "pids": pids, "addresses": addresses}), flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def another_process(
    data_dir: Path, *, attach: bool = False, tied: bool = True, postgres: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """A process inside ``embedded_servers`` until its input ends; its first line says what it has."""
    command = [sys.executable, "-c", HOLDER, str(data_dir), str(attach), str(tied), str(postgres)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, process_group=0) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def told(running: subprocess.Popen[str]) -> dict[str, Any]:
    assert running.stdout is not None
    return json.loads(running.stdout.readline())


def finish(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    running.stdin.close()
    assert running.wait(PATIENCE) == 0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def copied(model: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(model), str(target)], check=True)
    return target


@contextmanager
def started(data_dir: Path, **options: Any) -> Iterator[Embedded]:
    with embedded_servers(data_dir, **{"postgres": True, "redis": True, **options}) as servers:
        yield servers


def ask(servers: Embedded | str | None, statement: str) -> Any:
    """The first value of a statement's first row, if it has any."""
    address = servers.addresses.postgres if isinstance(servers, Embedded) else servers
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


def count(servers: Embedded) -> int:
    """How often this was called on these data, by Valkey's account."""
    with closing(redis.Redis.from_url(servers.addresses.redis or "")) as client:
        return int(client.incr("count"))


def pid(servers: Embedded, name: str) -> int:
    child = servers._servers[name].child
    assert child is not None
    return child.process.pid


def gone(number: int) -> bool:
    """Not there, or only its exit status."""
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], check=False, capture_output=True, text=True)
    return not ps.stdout.strip() or ps.stdout.strip().startswith("Z")


def owner(number: int) -> int:
    return int(subprocess.run(["ps", "-o", "uid=", "-p", str(number)], check=True, capture_output=True).stdout)


def open_to_all(path: Path) -> None:
    """A folder as the servers' own, but for its mode."""
    who = account.choose(path)
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, who.uid, who.gid)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def vars_of(servers: Embedded) -> list[str]:
    return [servers.addresses.postgres or "", servers.addresses.redis or ""]
