"""A reload seen from outside: all workers, no request lost, open streams by their old rule."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from gates import running_gate
from supervised import PATIENCE, free_port, supervised, until
from upstreams import Upstream, echoing

from gatekeeper.errors import StartupError

OPEN = {"path": "/**", "allow": "anyone"}


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": [{"name": "old", **OPEN}]}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


def reloaded(gate, **keys) -> None:
    """Put other keys in force, as config.yaml has them."""
    given = gate.config.model_dump(by_alias=True, mode="json") | keys
    given["storage"] = gate.config.storage
    gate.config = type(gate.config).model_validate(given)
    gate.gatekeeper.reload(gate.config)


async def test_other_rules_and_limits_are_in_force_from_the_next_request(gate):
    assert (await gate.call("GET", "/x")).status == 200
    reloaded(gate, rules=[{"name": "new", "path": "/y", "allow": "anyone"}])
    assert (await gate.call("GET", "/x")).status == 403
    assert (await gate.call("GET", "/y")).status == 200
    reloaded(gate, limits={"default": "1/hour"}, rules=[{"name": "new", **OPEN}])
    statuses = [(await gate.call("GET", "/x")).status for _ in range(3)]
    assert statuses[-1] == 429


async def test_an_upstream_that_is_gone_finishes_what_it_has_begun(gate, upstream):
    arrived, released = asyncio.Event(), asyncio.Event()

    async def slow(wire):
        await wire.request()
        arrived.set()
        await released.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
        await wire.until_closed()

    upstream.script = slow
    async with Upstream(echoing) as other:
        begun = asyncio.create_task(gate.call("GET", "/x"))
        await arrived.wait()
        reloaded(gate, upstreams={"new": {"targets": [other.address]}})
        assert await (await gate.call("GET", "/y")).text() == "GET /y "
        released.set()
        answer = await begun
        assert (answer.status, await answer.text()) == (200, "old")


async def test_an_upstream_that_stays_the_same_keeps_its_connections(gate, upstream):
    await gate.call("GET", "/x")
    reloaded(gate, rules=[{"name": "new", **OPEN}])
    await gate.call("GET", "/x")
    assert len(upstream.wires) == 1


async def test_a_stream_goes_on_by_its_old_rule(gate, upstream):
    more = asyncio.Event()

    async def stream(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.send(b"5\r\nfirst\r\n")
        await more.wait()
        await wire.send(b"4\r\nlast\r\n0\r\n\r\n")

    upstream.script = stream
    async with gate.client.get(f"{gate.url}/events") as answer:
        assert await answer.content.readexactly(5) == b"first"
        reloaded(gate, rules=[{"name": "new", "path": "/**", "allow": "nobody"}])
        assert (await gate.call("GET", "/events")).status == 403
        more.set()
        assert await answer.content.read() == b"last"


async def test_what_cannot_be_used_here_leaves_the_old_in_force_and_shows_in_the_metrics(gate, tmp_path):
    metrics = gate.gatekeeper.reloader.running.metrics
    assert b"gatekeeper_config_reload_success 1.0" in metrics.render()
    broken = {"api": {"targets": ["https://127.0.0.1:1"], "tls": {"ca": str(tmp_path / "none.pem")}}}
    with pytest.raises(StartupError):
        reloaded(gate, upstreams=broken, rules=[{"name": "new", "path": "/y", "allow": "anyone"}])
    assert (await gate.call("GET", "/x")).status == 200
    assert b"gatekeeper_config_reload_success 0.0" in metrics.render()
    gate.gatekeeper.reload(None)
    assert b"gatekeeper_config_reload_success 0.0" in metrics.render()


async def test_readiness_follows_the_upstreams(gate):
    reloaded(gate, upstreams={"other": {"targets": ["http://127.0.0.1:1"]}})
    assert [name for name in gate.gatekeeper.health._checks if name.startswith("upstream:")] == ["upstream:other"]


def _write(place: Path, config: dict[str, object]) -> None:
    """As editors and configuration managers do: at once."""
    (place / "new").write_text(json.dumps(config))
    (place / "new").rename(place / "config.yaml")


class Asking(threading.Thread):
    """One client that asks again and again on connections of its own until it is told to stop."""

    def __init__(self, gate) -> None:
        super().__init__()
        self.seen: Counter[int | str] = Counter()
        self.stop = threading.Event()
        self._gate = gate

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.seen[self._gate.get("/x")[0]] += 1
            except OSError as fault:
                self.seen[str(fault)] += 1


def test_all_workers_follow_the_file_and_sighup_and_no_request_is_lost(tmp_path, postgres_dsn, redis_url):
    port = free_port()
    place = tmp_path / "gate"
    place.mkdir()
    config = {
        "listen": [f"127.0.0.1:{port}"],
        "public_url": f"http://127.0.0.1:{port}",
        "workers": 2,
        "storage": {"postgres": postgres_dsn, "redis": redis_url, "secret": "the same for gates that share a database"},
        "upstreams": {"api": {"targets": [f"http://127.0.0.1:{free_port()}"]}},
        "rules": [{"name": "old", **OPEN}],
        "limits": {"default": "10000000/minute"},
    }
    with supervised(place, config, app="gatekeeper.app:build", example=True) as gate:
        gate.wait_ready()
        written = json.loads((place / "config.yaml").read_text())
        until(lambda: gate.get("/x")[0] == 200, "the example upstream")
        asking = [Asking(gate) for _ in range(3)]
        for one in asking:
            one.start()
        try:
            for number in range(3):  # other rules, and other limits, that admit as before
                _write(place, {**written, "rules": [{"name": f"new-{number}", **OPEN}]})
                until(lambda wanted=number + 1: len(gate.logged("is reloaded: rules")) == wanted, "the reload")
            _write(place, {**written, "rules": "nonsense"})
            until(lambda: gate.logged("not reloaded"), "the bad file")
        finally:
            for one in asking:
                one.stop.set()
            for one in asking:
                one.join(PATIENCE)
        assert sum((one.seen for one in asking), Counter()).keys() == {200}
        assert any("config.yaml:1" in str(entry["message"]) for entry in gate.logged("rules"))

        _write(place, {**written, "rules": [{"name": "closed", "path": "/**", "allow": "nobody"}]})
        refusing = {gate.get("/x")[0] for _ in range(1)}
        until(lambda: {gate.get("/x")[0] for _ in range(20)} == {403}, "both workers to refuse")
        assert refusing <= {200, 403}

        (worker, _) = gate.workers()
        os.kill(worker, signal.SIGKILL)  # its successor begins with what is in force
        until(lambda: len(gate.workers()) == 2 and worker not in gate.workers(), "another worker")
        assert {gate.get("/x")[0] for _ in range(20)} == {403}
        gate.signal(signal.SIGHUP)
        until(lambda: gate.logged("nothing has changed"), "SIGHUP to be obeyed")
        gate.signal(signal.SIGTERM)
        assert gate.wait_ended() == 0
