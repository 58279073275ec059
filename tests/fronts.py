"""Real proxies in front of a gate, each by its file in deploy/examples, with addresses put in and no more."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "deploy" / "examples"
#: Where `make test-full` puts the proxies that only it runs (scripts/setup-programs.sh).
FOREIGN = Path(__file__).parent / "e2e" / "proxies"
PATIENCE = 30.0
Argv = list[str | Path]


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is, each as host:port."""

    folder: Path
    front: str
    gate: str
    app: str

    def example(self, name: str, **changes: str) -> str:
        """A file of deploy/examples, with these texts in place of others; each must be there."""
        text = (EXAMPLES / name).read_text()
        for old, new in changes.items():
            assert old in text, f"{name} has no {old}"
            text = text.replace(old, new)
        return text

    def write(self, name: str, text: str) -> Path:
        """A file of the proxy's folder."""
        path = self.folder / name
        path.write_text(text)
        return path


def nginx(places: Places) -> Argv:
    snippet = places.example("nginx/gatekeeper.conf", GATE=places.gate, APP=places.app)
    return nginx_with(places, f"server {{ listen {places.front};\n{snippet}\n}}")


def nginx_with(places: Places, servers: str) -> Argv:
    """nginx with these server blocks and nothing else; its worker may be another user than the tests'."""
    places.folder.chmod(0o777)
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"{name}_temp_path {places.folder}/{name};" for name in names)
    config = places.write(
        "nginx.conf",
        f"daemon off; worker_processes 1; pid {places.folder}/pid; error_log stderr;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; {paths}\n{servers} }}\n",
    )
    return [_program("nginx"), "-p", places.folder, "-c", config, "-e", "stderr"]


def caddy(places: Places) -> Argv:
    changes = {"app.example.com {": f"http://{places.front} {{", "gate:8080": places.gate, "app:9000": places.app}
    site = places.example("caddy/Caddyfile", **changes)
    config = places.write(
        "Caddyfile", "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tgrace_period 1s\n}\n" + site
    )
    return [Path(sys.executable).parent / "caddy", "run", "--adapter", "caddyfile", "--config", config]


def haproxy(places: Places) -> Argv:
    script = places.write("gatekeeper.lua", places.example("haproxy/gatekeeper.lua"))
    config = places.example(
        "haproxy/haproxy.cfg",
        **{
            "bind :443 ssl crt /etc/haproxy/app.example.com.pem alpn h2,http/1.1": f"bind {places.front}",
            "/etc/haproxy/gatekeeper.lua": str(script),
            "192.0.2.10:8080": places.gate,
            "192.0.2.20:9000": places.app,
        },
    )
    return [_program("haproxy"), "-db", "-f", places.write("haproxy.cfg", config)]


def traefik(places: Places) -> Argv:
    changes = {
        "app.example.com": places.front.partition(":")[0],
        "websecure": "web",
        "      tls: {}\n": "",
        "__Host-gate": "gate",  # its name over plain http
        "gate:8080": places.gate,
        "app:9000": places.app,
    }
    dynamic = places.write("dynamic.yml", places.example("traefik/dynamic.yml", **changes))
    options = [f"--entrypoints.web.address={places.front}", f"--providers.file.filename={dynamic}"]
    return [FOREIGN / "bin" / "traefik", *options, "--global.checknewversion=false", "--log.level=ERROR"]


def envoy(places: Places) -> Argv:
    changes = {
        "address: 0.0.0.0, port_value: 8443": "address: {}, port_value: {}".format(*places.front.split(":")),
        "app.example.com": places.front,
        "http://gate:8080": f"http://{places.gate}",
        "address: gate, port_value: 8080": "address: {}, port_value: {}".format(*places.gate.split(":")),
        "address: app, port_value: 9000": "address: {}, port_value: {}".format(*places.app.split(":")),
    }
    config = places.write("envoy.yaml", places.example("envoy/envoy.yaml", **changes))
    options: Argv = ["--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    return [FOREIGN / "envoy" / "_bin" / "envoy", "-c", config, *options]


PROXIES: dict[str, Callable[[Places], Argv]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "traefik": traefik,
    "envoy": envoy,
}


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found


@asynccontextmanager
async def running(prepare: Callable[[Places], Argv], front: str, gate: str, app: str) -> AsyncIterator[None]:
    """The proxy that ``prepare`` says, listening on ``front``."""
    folder = Path(tempfile.mkdtemp(prefix="gk-front-"))
    argv = prepare(Places(folder, front, gate, app))
    process = subprocess.Popen(argv, cwd=folder, env={"HOME": str(folder), "PATH": ""})  # noqa: ASYNC220
    try:
        async with asyncio.timeout(PATIENCE):
            await _until_ready(process, front)
        yield
    finally:
        process.kill()  # some would wait for open connections first
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


async def _until_ready(process: subprocess.Popen[bytes], front: str) -> None:
    """Until the gate's health is seen through the proxy: some listen before they have read their routes."""
    host, _, port = front.partition(":")
    question = f"GET /_gate/health/live HTTP/1.1\r\nHost: {front}\r\nConnection: close\r\n\r\n"
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(question.encode())
            answer = await reader.read()
            writer.close()
        except OSError:
            answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            return
        assert process.poll() is None, "the proxy has ended"
        await asyncio.sleep(0.05)
