"""A whole gate with TLS and plain listeners: what comes in where, and certificates that change under it."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from certificates import Signed, issue
from supervised import PATIENCE, Supervised, free_port, supervised, until

from gatekeeper.config.model import Config
from gatekeeper.doors import panel_ways, public_ways

Start = Callable[..., Supervised]


class Files:
    """An authority, and the certificate that the gate shows: replaced by ``show``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = issue(folder, "authority")
        self.cert, self.key = folder / "live.pem", folder / "live.key"
        self.serial = 0

    def show(self, *names: str) -> Signed:
        signed = issue(self.folder, "next", by=self.authority, names=("127.0.0.1", *names))
        shutil.copy(signed.key_file, self.key)
        shutil.copy(signed.cert_file, self.cert)
        return signed

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.cert_file)

    def shown(self, port: int) -> set[str]:
        """Names in the certificate that a new connection gets."""
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw,
            self.trusting.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            peer: Any = tls.getpeercert()
            return {value for _, value in peer["subjectAltName"]}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.show("first.example")
    return made


@pytest.fixture
def start(tmp_path: Path, postgres_dsn: str, redis_url: str, files: Files) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**config: Any) -> Supervised:
            folder = tmp_path / "gate"
            folder.mkdir(exist_ok=True)
            plain, secure = free_port(), free_port()
            secret = "the same for gates that share a database"
            config = {
                "listen": [f"127.0.0.1:{plain}", {"address": f"127.0.0.1:{secure}", "tls": True}],
                "public_url": f"https://127.0.0.1:{secure}",
                "tls": {"cert": str(files.cert), "key": str(files.key)},
                "workers": 2,
                "storage": {"postgres": postgres_dsn, "redis": redis_url, "secret": secret},
                **config,
            }
            return stack.enter_context(supervised(folder, config, app="gatekeeper.app:build", example=False))

        yield begin


def secure_port(gate: Supervised) -> int:
    config = json.loads((gate.folder / "config.yaml").read_text())
    return int(config["listen"][-1]["address"].rpartition(":")[2])


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_gate/metrics", timeout=PATIENCE) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
    return float("nan")


def test_new_certificates_are_shown_by_all_workers_and_bad_ones_are_not(start: Start, files: Files) -> None:
    inside = free_port()
    gate = start(internal_listen=f"127.0.0.1:{inside}").wait_ready()
    port = secure_port(gate)
    kept = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=files.trusting)
    kept.request("GET", "/_gate/health/live")
    assert kept.getresponse().read()
    assert "first.example" in files.shown(port)

    files.show("second.example")
    until(lambda: len(gate.logged("tls: read again")) == 2, "both workers to read the certificate")
    assert all("second.example" in files.shown(port) for _ in range(20))

    files.key.write_text("not a key")
    until(lambda: len(gate.logged("stays in force")) == 2, "both workers to refuse it")
    assert all("second.example" in files.shown(port) for _ in range(20))
    until(lambda: metric(inside, 'gatekeeper_files_good{files="tls"}') == 0.0, "the metric")
    assert metric(inside, "gatekeeper_certificate_expires_seconds{") == 4102444800.0

    files.show("third.example")
    until(lambda: len(gate.logged("tls: read again")) == 4, "both workers to read it")
    assert "third.example" in files.shown(port)
    until(lambda: metric(inside, 'gatekeeper_files_good{files="tls"}') == 1.0, "the metric")

    kept.request("GET", "/_gate/health/live")  # the connection of the beginning
    assert kept.getresponse().status == 200
    kept.close()


def test_each_listener_says_its_own_scheme(start: Start, files: Files) -> None:
    """Cookies, CSRF and redirects follow the way that a request came in."""
    gate = start().wait_ready()
    port = secure_port(gate)
    form = "email=a%40example.com&password=wrong+wrong+wrong"
    fields = {"Content-Type": "application/x-www-form-urlencoded", "Host": f"127.0.0.1:{port}"}
    over_tls = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=files.trusting)
    plain = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=PATIENCE)
    for connection, scheme, status in (
        (over_tls, "https", 401),
        (over_tls, "http", 403),
        (plain, "https", 403),
    ):
        connection.request("POST", "/_gate/login", form, {**fields, "Origin": f"{scheme}://127.0.0.1:{port}"})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, scheme) == (status, scheme)
    over_tls.request("GET", "/_gate/login")
    answer = over_tls.getresponse()
    assert answer.getheader("Strict-Transport-Security") == "max-age=63072000"
    answer.read()
    for connection in (over_tls, plain):
        connection.close()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("key", "tls.cert: "),
        ("missing", "tls.cert: "),
        ("other", "tls.key: the key in "),
    ],
)
def test_a_gate_does_not_start_with_a_bad_certificate(start: Start, files: Files, broken: str, words: str) -> None:
    match broken:
        case "key":
            files.key.write_text("no key")
        case "missing":
            files.cert.unlink()
        case "other":
            shutil.copy(issue(files.folder, "other", by=files.authority).key_file, files.key)
    gate = start()
    assert gate.wait_ended() == 1
    assert gate.err.splitlines()[-1].startswith(words)
    assert "Traceback" not in gate.err


def test_a_list_of_trusted_proxies_is_in_force_as_its_file_changes(start: Start, tmp_path: Path) -> None:
    """security 5"""
    networks = tmp_path / "cdn.txt"
    networks.write_text("10.0.0.0/8\n")
    gate = start(trusted_proxies=[f"file:{networks}"]).wait_ready()

    def trusted() -> bool:
        """Whether what X-Forwarded-Host says counts: it names a host that is not served."""
        connection = gate.connect()
        try:
            connection.request("GET", "/_gate/login", headers={"X-Forwarded-Host": "elsewhere.example"})
            return connection.getresponse().status == 421
        finally:
            connection.close()

    def by_all() -> int:
        return sum(trusted() for _ in range(12))

    host = {"Host": f"127.0.0.1:{secure_port(gate)}"}
    connection = gate.connect()
    connection.request("GET", "/_gate/login", headers=host)
    assert connection.getresponse().status == 200
    connection.close()
    networks.write_text("10.0.0.0/8\n127.0.0.1  # here\n")
    until(lambda: len(gate.logged("trusted_proxies: read again")) == 2, "both workers to read the list")
    assert by_all() == 12
    networks.write_text("nonsense\n")
    until(lambda: len(gate.logged("stays in force")) == 2, "both workers to refuse it")
    assert by_all() == 12
    networks.write_text("10.0.0.0/8\n")
    until(lambda: len(gate.logged("trusted_proxies: read again")) == 4, "both workers to read it")


def test_sighup_reads_the_files_again_unchanged(start: Start) -> None:
    gate = start().wait_ready()
    gate.signal(signal.SIGHUP)
    until(lambda: len(gate.logged("tls: read again")) == 2, "both workers to read the certificate")


def test_a_request_that_cannot_be_read_has_a_line_in_the_access_log(start: Start) -> None:
    """security 1, 28"""
    gate = start().wait_ready()
    with socket.create_connection(("127.0.0.1", gate.port), timeout=PATIENCE) as raw:
        raw.sendall(b"GET /a/%2e%2e/b HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert raw.recv(12) == b"HTTP/1.1 400"

    def written() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in gate.err.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("path") == "/a/%2e%2e/b"]

    (line,) = until(written, "the line")
    assert (line["status"], line["reason"], line["client"]) == (400, "bad-target", "127.0.0.1")
    assert line["host"] == "a.example"


def test_what_comes_to_the_panels_listener_in_clear_is_as_public_url_says() -> None:
    """A proxy ends TLS there, whatever the public listeners do by themselves."""
    tls = {"cert": "/x.pem"}
    public: dict[str, Any] = {"public_url": "https://gate.example", "tls": tls}
    ways: list[Any] = ["127.0.0.1:8080", {"address": "127.0.0.1:8443", "tls": True}]
    own = {"listen": "127.0.0.1:9443", "public_url": "https://admin.example"}
    config = Config.model_validate({**public, "listen": ways, "admin": own})
    one = socket.socket()
    with one:
        serve: Any = object()
        assert [way.clear for way in public_ways(config, [(one, 0), (one, 1)], serve)] == ["http", "http"]
        ((found, listener, clear, served),) = [
            (way.socket, way.listener, way.clear, way.serve) for way in panel_ways(config, [one], serve)
        ]
        assert (found, listener.address, listener.tls, clear, served) == (one, "127.0.0.1:9443", False, None, serve)
        assert panel_ways(Config(), [], serve) == []
