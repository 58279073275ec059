"""The peers: nginx (as the upstream, and bare), Caddy, HAProxy and the Fastify gate, each configured at its best."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import jwt

from gatebench.load import System
from gatebench.processes import OTHERS, SUBJECT, descendants, free_port, running, wait_for_port
from gatebench.setup import FASTIFY, Tools

#: What the upstream answers: 88 bytes.
ANSWER = '{"id":1,"name":"an item of the catalogue 7","price":{"amount":"19.99","currency":"EUR"}}'
SECRET = secrets.token_urlsafe(32)
_HOURS = 12 * 3600


class Tuning:
    """Whether peers get the settings that make them faster here (measured: Caddy about a fifth, Fastify a tenth)."""

    on: ClassVar[bool] = True


_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {more}
}}
"""


@contextmanager
def nginx(tools: Tools, folder: Path, more: str, core: int) -> Iterator[int]:
    """One nginx with one worker; the worker's pid."""
    folder.mkdir()
    config, log = folder / "nginx.conf", folder / "nginx.log"
    port = free_port()
    config.write_text(_NGINX.format(folder=folder, more=more.replace("PORT", str(port))))
    command: list[str | Path] = [tools.path("nginx"), "-c", config, "-p", folder, "-e", folder / "error.log"]
    with running(command, log=log, cores=[core]) as process:
        wait_for_port(port, process, log)
        (folder / "port").write_text(str(port))
        yield next(iter(descendants(process.pid)))


@contextmanager
def upstream(tools: Tools, folder: Path, files: Path) -> Iterator[int]:
    """The upstream of all systems: small JSON everywhere, files under /files/. Its port."""
    more = (
        "server { listen 127.0.0.1:PORT backlog=4096; sendfile on;"
        f" location / {{ return 200 '{ANSWER}'; }} location /files/ {{ alias {files}/; }} }}"
    )
    with nginx(tools, folder, more, OTHERS):
        yield int((folder / "port").read_text())


@contextmanager
def bare_nginx(tools: Tools, folder: Path, to: int) -> Iterator[System]:
    """A bare reverse proxy."""
    more = (
        f"upstream api {{ server 127.0.0.1:{to}; keepalive 256; keepalive_requests 1000000000; }}"
        " server { listen 127.0.0.1:PORT backlog=4096; client_max_body_size 0; location / { proxy_pass http://api;"
        ' proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr; } }'
    )
    with nginx(tools, folder, more, SUBJECT) as worker:
        yield System("nginx", int((folder / "port").read_text()), [worker])


@contextmanager
def caddy(tools: Tools, folder: Path, to: int, routes: str = "") -> Iterator[System]:
    """A bare reverse proxy; tuned, it keeps as many connections to the upstream as there are clients, not just 32."""
    folder.mkdir()
    idle = "   keepalive_idle_conns_per_host 256\n" if Tuning.on else ""
    config, log, port = folder / "Caddyfile", folder / "caddy.log", free_port()
    config.write_text(
        "{\n admin off\n auto_https off\n persist_config off\n}\n"
        f"http://127.0.0.1:{port} {{\n{routes} reverse_proxy 127.0.0.1:{to} {{\n"
        f"  transport http {{\n{idle}  }}\n }}\n}}\n"
    )
    env = {"GOMAXPROCS": "1", "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command: list[str | Path] = [tools.path("caddy"), "run", "--config", config, "--adapter", "caddyfile"]
    with running(command, log=log, cores=[SUBJECT], env=env) as process:
        wait_for_port(port, process, log)
        yield System("Caddy", port, [process.pid])


def hs256_tokens(now: float, count: int) -> list[str]:
    """Access tokens as the peers check them."""
    claims = [{"sub": str(one), "jti": secrets.token_urlsafe(12), "exp": int(now) + _HOURS} for one in range(count)]
    return [jwt.encode(one, SECRET, algorithm="HS256") for one in claims]


@contextmanager
def haproxy(tools: Tools, folder: Path, to: int, tokens: list[str]) -> Iterator[System]:
    """One thread: JWT HS256 verified, requests counted by client in the process."""
    folder.mkdir()
    config, log, port = folder / "haproxy.cfg", folder / "haproxy.log", free_port()
    config.write_text(
        "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n"
        " timeout connect 5s\n option http-keep-alive\n http-reuse always\n"
        f"frontend in\n bind 127.0.0.1:{port}\n"
        " stick-table type ip size 100k expire 60s store http_req_rate(60s)\n"
        " http-request track-sc0 src\n"
        " http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }\n"
        " http-request set-var(txn.token) http_auth_bearer\n"
        " http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')\n"
        " http-request deny deny_status 401 unless { var(txn.alg) -m str HS256 }\n"
        f' http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{SECRET}") -m int 1 }}\n'
        " http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')\n"
        " http-request set-var(txn.now) date()\n"
        " http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }\n"
        f" default_backend api\nbackend api\n server one 127.0.0.1:{to} pool-max-conn 256\n"
    )
    with running([tools.path("haproxy"), "-db", "-f", config], log=log, cores=[SUBJECT]) as process:
        wait_for_port(port, process, log)
        yield System("HAProxy", port, [process.pid], requests=[bearer(token) for token in tokens])


@contextmanager
def fastify(tools: Tools, folder: Path, to: int, redis_url: str, tokens: list[str]) -> Iterator[System]:
    """The Fastify gate: one process on one core, over the same Redis server and kind of socket as the gate."""
    if "fastify" in tools.missing:
        tools.path("fastify")
    folder.mkdir()
    log, port, redis = folder / "fastify.log", free_port(), urlsplit(redis_url)
    env = {
        "NODE_ENV": "production",
        "PORT": str(port),
        "UPSTREAM": f"http://127.0.0.1:{to}",
        "SECRET": SECRET,
        "REDIS_SOCKET": unquote(redis.path),
        "REDIS_PASSWORD": redis.password or "",
        "AUTO_PIPELINING": "yes" if Tuning.on else "no",
    }
    with running([tools.path("node"), FASTIFY / "server.mjs"], log=log, cores=[SUBJECT], env=env) as process:
        wait_for_port(port, process, log)
        yield System("Fastify", port, [process.pid], requests=[bearer(token) for token in tokens])


def bearer(token: str) -> dict[str, str]:
    """The field that carries a token."""
    return {"Authorization": f"Bearer {token}"}
