"""The gate under test: `gatekeeper serve` with everything on, over stores that are started and pinned here."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gatebench.load import System
from gatebench.peers import bearer
from gatebench.processes import (
    SUBJECT,
    BenchError,
    descendants,
    free_port,
    last_words,
    pin,
    rss,
    running,
    wait_for_port,
)

ACCOUNT = {"email": "ada@example.com", "password": "correct horse battery 9"}
_PLENTY = "100000000/minute"
_SECRET = secrets.token_urlsafe(48)


@dataclass(frozen=True, slots=True)
class Stores:
    """PostgreSQL and Valkey of one or more gates."""

    postgres: str = field(repr=False)
    redis: str = field(repr=False)
    mains: dict[str, int]

    def pids(self, name: str) -> list[int]:
        """All processes of ``postgres`` or ``valkey`` at this moment."""
        return [self.mains[name], *descendants(self.mains[name])]


@contextmanager
def stores(folder: Path) -> Iterator[Stores]:
    """The gate's own embedded servers, children of this process and so on its core."""
    from gatekeeper.store.embedded import embedded_servers

    before = set(descendants(os.getpid()))
    with embedded_servers(folder, postgres=True, redis=True) as servers:
        new = {pid: line for pid, line in descendants(os.getpid()).items() if pid not in before}
        mains = {"valkey": min(pid for pid, line in new.items() if "valkey" in line or "redis" in line)}
        mains["postgres"] = min(pid for pid in new if pid != mains["valkey"])
        yield Stores(servers.addresses.postgres or "", servers.addresses.redis or "", mains)


def rules(count: int) -> list[dict[str, Any]]:
    """``count`` rules of which the last admits the benchmark's requests; others differ in path, host, method, role."""
    made: list[dict[str, Any]] = []
    for number in range(count - 4):
        rule: dict[str, Any] = {"name": f"service-{number}", "upstream": "api", "path": f"/service-{number}/**"}
        match number % 4:
            case 0:
                rule |= {"allow": {"roles": [f"team-{number % 7}"]}, "methods": ["GET", "POST"]}
            case 1:
                rule |= {"allow": "authenticated", "path": f"/v{number % 5}/service-{number}/*/items/**"}
            case 2:
                rule |= {"allow": "authenticated", "host": f"service-{number}.example.org"}
            case _:
                rule |= {"allow": "anyone", "methods": ["GET"]}
        made.append(rule)
    return [
        *made,
        {"name": "upload", "path": "/upload/**", "upstream": "sink", "allow": "authenticated"},
        {"name": "echo", "path": "/echo/**", "upstream": "echo", "allow": "authenticated"},
        {"name": "files", "path": "/files/**", "upstream": "api", "allow": "authenticated"},
        {"name": "api", "path": "/**", "upstream": "api", "allow": "authenticated"},
    ]


@dataclass(slots=True)
class Gate:
    """A running gate; ``fresh`` is each worker's resident memory in bytes before its first request."""

    port: int
    pid: int
    workers: list[int]
    log: Path
    fresh: list[int]

    def call(self, path: str, body: dict[str, Any] | None = None, token: str = "") -> tuple[int, Any]:
        """One request of JSON; status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json", **(bearer(token) if token else {})}
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            said = answer.read()
        return answer.status, json.loads(said) if said[:1] in {b"{", b"["} else said

    def sign_in(self, sessions: int) -> list[str]:
        """Access tokens of as many sessions of one account, made if need be."""
        self.call("/_gate/auth/register", ACCOUNT)
        tokens = []
        for _ in range(sessions):
            status, answer = self.call("/_gate/auth/login", ACCOUNT)
            if status != 200:
                raise BenchError(f"the gate refused a login: {answer}")
            tokens.append(answer["access_token"])
        return tokens

    def system(self, name: str, tokens: Sequence[str]) -> System:
        """As a system that forwards."""
        return System(name, self.port, self.workers, requests=[bearer(token) for token in tokens])

    def verifying(self, name: str, tokens: Sequence[str]) -> System:
        """As a system that answers nginx's auth_request; the gate must trust this machine."""
        asks = {"X-Original-Method": "GET", "X-Original-URI": "/api/items/1", "X-Forwarded-For": "203.0.113.7"}
        requests = [{**bearer(token), **asks} for token in tokens]
        return System(name, self.port, self.workers, path="/_gate/verify", requests=requests)


def _config(folder: Path, of: Stores, upstreams: dict[str, int], port: int, **settings: Any) -> dict[str, Any]:
    from gatekeeper.config.model import Config, Limits

    limits = {name: _PLENTY for name, one in Limits.model_fields.items() if "/" in str(one.default)}
    more = {"internal_listen": f"127.0.0.1:{free_port()}"} if "internal_listen" in Config.model_fields else {}
    return {
        **more,
        "listen": [f"127.0.0.1:{port}"],
        "public_url": f"http://127.0.0.1:{port}",
        "workers": 1,
        "storage": {"postgres": of.postgres, "redis": of.redis, "data_dir": str(folder / "data"), "secret": _SECRET},
        "tokens": {"access_ttl": "12h"},
        "limits": limits,
        "sizes": {"body": "2GiB"},
        "logs": {"format": "json"},
        "upstreams": {name: {"targets": [f"http://127.0.0.1:{to}"]} for name, to in upstreams.items()},
        "rules": rules(10),
        **settings,
    }


@contextmanager
def gate(
    folder: Path, of: Stores, upstreams: dict[str, int], *, cores: Sequence[int] = (SUBJECT,), **settings: Any
) -> Iterator[Gate]:
    """``gatekeeper serve`` with its access log going to a file; worker number n is kept on ``cores[n]``.

    ``settings`` replace top-level keys of the configuration.
    """
    folder.mkdir()
    port, log, config = free_port(), folder / "gate.log", folder / "config.yaml"
    config.write_text(yaml.safe_dump(_config(folder, of, upstreams, port, **settings)))
    config.chmod(0o600)
    command: list[str | Path] = [sys.executable, "-m", "gatekeeper", "--config", config, "serve"]
    source = sys.path[1]  # see run.py; Python looks for modules in the working directory first
    with running(command, log=log, env={"PYTHONPATH": source}, cwd=source) as process:
        wait_for_port(port, process, log)
        workers = [pid for pid, line in descendants(process.pid).items() if "gatekeeper.worker" in line]
        if not workers:
            raise BenchError(f"the gate has no worker: {last_words(log)}")
        for number, worker in enumerate(sorted(workers)):
            pin(worker, cores if len(workers) == 1 else [cores[number % len(cores)]])
        yield Gate(port, process.pid, workers, log, [rss(worker) for worker in workers])
