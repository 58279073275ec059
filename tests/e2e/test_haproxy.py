"""A real HAProxy that relays bytes: send-proxy and send-proxy-v2, to a plain and to a TLS listener."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import issue
from supervised import PATIENCE, Supervised, free_port, supervised, until

pytestmark = pytest.mark.haproxy
CLIENT = "127.0.0.7"  # HAProxy itself connects from 127.0.0.1

CONFIG = """
global
    maxconn 256
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen v1
    bind 127.0.0.1:{v1}
    server gate 127.0.0.1:{plain} send-proxy
listen v2
    bind 127.0.0.1:{v2}
    server gate 127.0.0.1:{plain} send-proxy-v2 proxy-v2-options unique-id
    unique-id-format %[uuid()]
listen tls
    bind 127.0.0.1:{tls}
    server gate 127.0.0.1:{secure} send-proxy-v2 check check-send-proxy inter 100ms
listen without
    bind 127.0.0.1:{without}
    server gate 127.0.0.1:{plain}
listen local
    bind {folder}/front.sock
    server gate 127.0.0.1:{plain} send-proxy-v2
"""


@dataclass
class Front:
    """HAProxy in front of a gate; ports by the names in its configuration."""

    gate: Supervised
    ports: dict[str, int]
    folder: Path
    trusting: ssl.SSLContext

    def get(self, name: str, path: str = "/anything", **fields: str) -> tuple[int, Any]:
        """Status and JSON, over a connection from CLIENT."""
        port, source = self.ports[name], (CLIENT, 0)
        connection = (
            http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=PATIENCE, source_address=source, context=self.trusting
            )
            if name == "tls"
            else http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=source)
        )
        try:
            connection.request("GET", path, headers=fields)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def front(tmp_path: Path, short_tmp: Path, postgres_dsn: str, redis_url: str) -> Iterator[Front]:
    authority = issue(tmp_path, "authority")
    shown = issue(tmp_path, "shown", by=authority, names=("127.0.0.1",))
    ports = {name: free_port() for name in ("plain", "secure", "v1", "v2", "tls", "without", "app", "own")}
    folder = tmp_path / "gate"
    folder.mkdir()
    config = {
        "listen": [
            f"127.0.0.1:{ports['own']}",
            {"address": f"127.0.0.1:{ports['plain']}", "proxy_protocol": True},
            {"address": f"127.0.0.1:{ports['secure']}", "proxy_protocol": True, "tls": True},
        ],
        "public_url": f"https://127.0.0.1:{ports['tls']}",
        "hosts": ["127.0.0.1"],
        "tls": {"cert": str(shown.cert_file), "key": str(shown.key_file)},
        "trusted_proxies": ["127.0.0.1"],
        "workers": 1,
        "storage": {"postgres": postgres_dsn, "redis": redis_url, "secret": "x" * 40},
        "upstreams": {"api": {"targets": [f"http://127.0.0.1:{ports['app']}"]}},
        "rules": [{"name": "all", "path": "/**", "allow": "anyone"}],
    }
    haproxy = tmp_path / "haproxy.cfg"
    haproxy.write_text(CONFIG.format(folder=short_tmp, **ports))
    program = shutil.which("haproxy")
    assert program is not None
    with supervised(folder, config, app="gatekeeper.app:build", example=True) as gate:
        gate.wait_ready()
        process = subprocess.Popen([program, "-db", "-f", str(haproxy)])
        try:
            last = short_tmp / "front.sock"  # of what HAProxy binds
            until(lambda: process.poll() is not None or (last.exists() and listening(ports["without"])), "HAProxy")
            assert process.poll() is None
            yield Front(gate, ports, short_tmp, ssl.create_default_context(cafile=authority.cert_file))
        finally:
            process.terminate()
            process.wait(PATIENCE)


def test_upstreams_learn_the_client_behind_haproxy_and_the_scheme_it_used(front: Front) -> None:
    """security 5"""
    forged = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example"}
    for name, scheme in (("v1", "http"), ("v2", "http"), ("tls", "https")):
        status, seen = front.get(name, **forged)
        assert status == 200
        headers = {field.lower(): value for field, value in seen["headers"].items()}
        assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == (CLIENT, scheme)
        assert headers["x-real-ip"] == CLIENT
        assert "evil.example" not in json.dumps(seen)


def test_many_requests_pass_over_one_connection(front: Front) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", front.ports["tls"], timeout=PATIENCE, context=front.trusting)
    for number in range(20):
        connection.request("POST", f"/n/{number}", body=b"x" * 100_000)
        assert json.loads(connection.getresponse().read())["body_bytes"] == 100_000
    connection.close()


def test_without_its_head_a_connection_ends_before_any_request(front: Front) -> None:
    """security 5"""
    for name in ("without", "plain", "secure"):
        with pytest.raises((http.client.HTTPException, OSError)):
            front.get(name)


def test_whom_haproxy_cannot_name_is_not_believed(front: Front) -> None:
    """security 5: behind a unix socket there is no address, and what is sent there is a client's."""
    with socket.socket(socket.AF_UNIX) as local:
        local.settimeout(PATIENCE)
        local.connect(str(front.folder / "front.sock"))
        local.sendall(b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: local.recv(65536), b""))
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert b" 200 " in answer.splitlines()[0]
    assert {name.lower(): value for name, value in seen["headers"].items()}["x-forwarded-for"] == "127.0.0.1"
