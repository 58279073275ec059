"""A supervisor as a process of its own, in a process group of its own, for the tests of everything that it does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0  # seconds; under any load

_MAIN = """
import os, sys
from pathlib import Path
from gatekeeper.config.load import load
from gatekeeper.errors import GatekeeperError
from gatekeeper.supervisor import serve
try:
    sys.exit(serve(load(Path(sys.argv[1]), os.environ), example_upstream="example" in sys.argv[2:], app=sys.argv[2]))
except GatekeeperError as fault:
    sys.exit(f"{fault}")
"""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def until(holds: Callable[[], Any], what: str) -> Any:
    """What ``holds`` returns once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return found


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Supervised:
    """One supervisor. ``folder`` holds its config.yaml, its data_dir ``data`` and what it wrote."""

    def __init__(self, folder: Path, config: dict[str, Any], *, app: str, example: bool) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        config = {"storage": {}, "logs": {"format": "json"}, "internal_listen": None, **config}
        config["storage"] = {"data_dir": str(self.data), **config["storage"]}
        (folder / "config.yaml").write_text(json.dumps(config))
        self.port = int(config["listen"][0].rpartition(":")[2])
        self.host = config["listen"][0].rpartition(":")[0].strip("[]")
        self._out, self._err = folder / "out", folder / "err"
        command = [sys.executable, "-c", _MAIN, str(folder / "config.yaml"), app, *(["example"] if example else [])]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parent),
                },
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it printed."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Its log, and at last its fault."""
        return self._err.read_text()

    def wait_ready(self) -> Self:
        until(lambda: "Ready: " in self.out or self.process.poll() is not None, "Ready")
        assert "Ready: " in self.out, self.err
        return self

    def wait_ended(self) -> int:
        return self.process.wait(PATIENCE)

    def logged(self, words: str) -> list[dict[str, Any]]:
        """The log's entries whose message holds ``words``."""
        entries = [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]
        return [entry for entry in entries if words in str(entry.get("message"))]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def who(self) -> int:
        """The process that answers a new connection."""
        return int(json.loads(self.get("/who")[1])["pid"])

    def workers(self) -> list[int]:
        """The children that serve, by the process table."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"gatekeeper.worker" in _command_line(pid)]

    def group(self) -> list[int]:
        """Every living process of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor alone."""
        self.process.send_signal(number)

    def signal_group(self, number: signal.Signals) -> None:
        """As a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, number)

    def close(self) -> None:
        """End whatever is left."""
        for pid in [*self.group(), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(PATIENCE)


@contextmanager
def supervised(
    folder: Path, config: dict[str, Any], *, app: str = "standin_gate:build", example: bool = False
) -> Iterator[Supervised]:
    """A started supervisor, whose every process is gone afterwards."""
    one = Supervised(folder, config, app=app, example=example)
    try:
        yield one
    finally:
        one.close()


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
        return b""
