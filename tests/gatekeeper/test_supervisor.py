"""supervisor, worker and children, as processes: start, crash, drain and sudden death."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from supervised import PATIENCE, Supervised, alive, free_port, supervised, until

Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path, postgres_dsn: str, redis_url: str) -> Iterator[Start]:
    """Start a supervisor over the session's servers; keys of config.yaml as arguments."""
    with ExitStack() as stack:

        def begin(
            *, app: str = "standin_gate:build", example: bool = False, folder: str = "gate", **config: Any
        ) -> Any:
            place = tmp_path / folder
            place.mkdir(exist_ok=True)
            port = free_port()
            config = {
                "listen": [f"127.0.0.1:{port}"],
                "public_url": f"http://127.0.0.1:{port}",
                "workers": 1,
                "storage": {
                    "postgres": postgres_dsn,
                    "redis": redis_url,
                    "secret": "the same for gates that share a database",
                },
                **config,
            }
            return stack.enter_context(supervised(place, config, app=app, example=example))

        yield begin


class Held(threading.Thread):
    """A request that is answered once its file exists."""

    def __init__(self, gate: Supervised, name: str) -> None:
        super().__init__()
        self.answer: tuple[int, bytes] | Exception | None = None
        self._gate = gate
        self._name = name
        self.start()
        until((gate.data / f"{name}.held").exists, f"the request {name} to arrive")

    def run(self) -> None:
        try:
            self.answer = self._gate.get(f"/hold/{self._name}")
        except (OSError, http.client.HTTPException) as fault:
            self.answer = fault

    def release(self) -> None:
        (self._gate.data / self._name).touch()


def test_start_ends_with_the_lines_of_the_contract(start: Start) -> None:
    gate = start().wait_ready()
    url = f"http://127.0.0.1:{gate.port}"
    lines = gate.out.splitlines()
    assert lines[:2] == [f"Ready: {url}", f"Panel: {url}/_gate/admin"]
    assert lines[2].startswith(f"First admin (once, 1 h): {url}/_gate/setup/")
    assert [line.split()[0] for line in lines[3:]] == ["curl", "curl", "curl"]


def test_port_in_use_is_one_line_before_anything_starts(start: Start) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        gate = start(listen=[f"127.0.0.1:{port}"], storage={})
        assert gate.wait_ended() == 1
    assert gate.err.splitlines() == [
        f"listen: 127.0.0.1:{port} is in use by another program; end it, or choose another address"
    ]
    assert gate.out == ""
    assert list(gate.data.iterdir()) == []


def test_second_gate_on_the_same_port_is_refused_although_workers_share_it(start: Start) -> None:
    gate = start(workers=2).wait_ready()
    other = start(folder="other", listen=[f"127.0.0.1:{gate.port}"])
    assert other.wait_ended() == 1
    assert "is in use" in other.err
    assert gate.get("/who")[0] == 200


def test_nobody_is_let_in_before_the_gate_is_ready(start: Start) -> None:
    gate = start(storage={"postgres": "postgresql://u:secret@127.0.0.1:1/none", "redis": "redis://127.0.0.1:1"})
    assert gate.wait_ended() == 1
    fault = gate.err.splitlines()[-1]
    assert fault.startswith("postgres: ")
    assert "secret" not in gate.err
    with pytest.raises(ConnectionRefusedError):
        gate.get("/who")


def test_worker_that_cannot_start_ends_the_start_with_its_reason(start: Start, tmp_path: Path) -> None:
    (tmp_path / "gate" / "data").mkdir(parents=True)
    (tmp_path / "gate" / "data" / "broken").touch()
    gate = start(workers=2)
    assert gate.wait_ended() == 1
    assert gate.err.splitlines()[-1] == "the stand-in is broken"
    assert gate.out == ""
    assert gate.group() == []


def test_connections_are_dealt_out_to_all_workers(start: Start) -> None:
    gate = start(workers=3).wait_ready()
    seen: set[int] = set()
    until(lambda: seen.add(gate.who()) or len(seen) == 3, "an answer from each worker")
    assert seen == set(gate.workers())


def test_ipv6_and_several_addresses_are_served(start: Start) -> None:
    four, six = free_port(), free_port("::1")
    gate = start(listen=[f"127.0.0.1:{four}", f"[::1]:{six}"], workers=2).wait_ready()
    assert gate.get("/who")[0] == 200
    gate.host, gate.port = "::1", six
    assert gate.get("/who")[0] == 200


def test_internal_listener_is_bound_like_the_others_and_stays_until_the_end(start: Start) -> None:
    port = free_port()
    gate = start(internal_listen=f"127.0.0.1:{port}", workers=2).wait_ready()
    other = start(folder="other", internal_listen=f"127.0.0.1:{port}")
    assert other.wait_ended() == 1
    assert other.err.startswith(f"internal_listen: 127.0.0.1:{port} is in use")
    held = Held(gate, "slow")
    gate.signal(signal.SIGTERM)
    until(lambda: refused(gate), "the public port to be closed")
    gate.port = port
    assert gate.get("/_gate/health/ready")[0] == 503
    held.release()
    held.join(PATIENCE)
    assert gate.wait_ended() == 0


def test_connection_waits_while_its_crashed_worker_is_started_again(start: Start) -> None:
    """security 26: a crashed worker is restarted; nobody is refused meanwhile."""
    gate = start().wait_ready()
    before = gate.who()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        gate.get("/crash")
    assert gate.who() != before
    assert gate.logged(f"worker 0 (pid {before}) ended with status 9")


def test_other_workers_serve_on_while_one_is_down(start: Start) -> None:
    """security 26"""
    gate = start(workers=2).wait_ready()
    first, second = gate.workers()
    held = [Held(gate, f"one-{number}") for number in range(8)]
    os.kill(first, signal.SIGKILL)
    for one in held:
        one.release()
        one.join(PATIENCE)
    answers = [one.answer for one in held]
    assert all(answer == (200, b"held to the end") or isinstance(answer, Exception) for answer in answers)
    until(lambda: second in gate.workers() and len(gate.workers()) == 2 and gate.who(), "both workers")
    assert alive(second)
    assert gate.logged(f"worker 0 (pid {first}) was killed by signal 9")


def test_pauses_grow_while_a_worker_crashes_at_its_start(start: Start) -> None:
    gate = start().wait_ready()
    (gate.data / "crashing").touch()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        gate.get("/crash")
    until(lambda: len(gate.logged("started again")) >= 4, "four crashes in a row")
    (gate.data / "crashing").unlink()
    assert gate.get("/who")[0] == 200
    pauses = [float(entry["message"].split()[-2]) for entry in gate.logged("started again")[:4]]
    assert pauses == [0.1, 0.2, 0.4, 0.8]


def test_sigterm_fails_readiness_first_and_lets_requests_finish(start: Start) -> None:
    """security 26"""
    gate = start(workers=2).wait_ready()
    pids = gate.workers()
    waiting = [Held(gate, f"slow-{number}") for number in range(20)]
    probes = [gate.connect() for _ in range(20)]  # kept alive; enough to have one at each worker
    for probe in probes:
        probe.request("GET", "/_gate/health/ready")
        answer = probe.getresponse()
        answer.read()
        assert answer.status == 200
    gate.signal(signal.SIGTERM)
    until(lambda: all((gate.data / f"draining-{pid}").exists() for pid in pids), "the workers to drain")
    statuses = []
    for probe in probes:
        try:
            probe.request("GET", "/_gate/health/ready")
            answer = probe.getresponse()
            answer.read()
            statuses.append(answer.status)
        except (OSError, http.client.HTTPException):  # closed by then: idle connections are
            continue
        finally:
            probe.close()
    assert set(statuses) <= {503}
    until(lambda: refused(gate), "the port to be closed while requests are still in flight")
    for one in waiting:
        one.release()
    for one in waiting:
        one.join(PATIENCE)
        assert one.answer == (200, b"held to the end")
    assert gate.wait_ended() == 0
    assert gate.group() == []


def refused(gate: Supervised) -> bool:
    try:
        socket.create_connection((gate.host, gate.port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_idle_connections_do_not_hold_up_the_end(start: Start) -> None:
    gate = start(timeouts={"drain": "1h", "idle": "1h"}).wait_ready()
    with closing(socket.create_connection((gate.host, gate.port), PATIENCE)) as silent, closing(gate.connect()) as kept:
        kept.request("GET", "/who")
        kept.getresponse().read()
        gate.signal(signal.SIGTERM)
        assert gate.wait_ended() == 0
        assert silent.recv(1) == b""


def test_requests_are_cut_off_when_the_drain_is_over(start: Start) -> None:
    gate = start(timeouts={"drain": "1s"}).wait_ready()
    held = Held(gate, "never")
    gate.signal(signal.SIGTERM)
    assert gate.wait_ended() == 0
    held.join(PATIENCE)
    assert isinstance(held.answer, Exception)


def test_second_signal_ends_at_once(start: Start) -> None:
    gate = start(timeouts={"drain": "1h"}).wait_ready()
    held = Held(gate, "never")
    gate.signal(signal.SIGTERM)
    until(lambda: gate.logged("stopping"), "the drain to begin")
    gate.signal(signal.SIGTERM)
    assert gate.wait_ended() == 0
    held.join(PATIENCE)
    assert isinstance(held.answer, Exception)
    assert gate.group() == []


def test_ctrl_c_in_a_terminal_drains_as_sigterm_does(start: Start) -> None:
    """Every process of the group gets the signal; only the supervisor may act on it."""
    gate = start(workers=2).wait_ready()
    held = Held(gate, "slow")
    gate.signal_group(signal.SIGINT)
    until(lambda: gate.logged("stopping"), "the drain to begin")
    held.release()
    held.join(PATIENCE)
    assert held.answer == (200, b"held to the end")
    assert gate.wait_ended() == 0
    assert gate.group() == []
    assert "Traceback" not in gate.err


def test_ctrl_c_during_the_start_leaves_nothing(start: Start) -> None:
    gate = start(storage={"postgres": "embedded", "redis": "embedded"})
    until(lambda: (gate.data / "lock").exists() or gate.process.poll() is not None, "the servers to start")
    gate.signal_group(signal.SIGINT)
    assert gate.wait_ended() in {0, 130}
    until(lambda: gate.group() == [], "every process to be gone")
    assert "Traceback" not in gate.err


def test_sighup_changes_nothing(start: Start) -> None:
    gate = start().wait_ready()
    before = gate.who()
    gate.signal_group(signal.SIGHUP)
    assert gate.who() == before


def test_killed_supervisor_leaves_nothing_that_blocks_the_next_start(start: Start) -> None:
    gate = start(workers=2, example=True, upstreams={"api": {"targets": [f"http://127.0.0.1:{free_port()}"]}})
    gate.wait_ready()
    held = Held(gate, "slow")
    gate.signal(signal.SIGKILL)
    gate.wait_ended()
    upstreams = json.loads((gate.folder / "config.yaml").read_text())["upstreams"]
    listen = [f"127.0.0.1:{gate.port}"]
    again = start(folder="again", listen=listen, example=True, upstreams=upstreams).wait_ready()
    assert again.get("/who")[0] == 200
    held.release()
    until(lambda: gate.group() == [], "the old processes to end by themselves")
    held.join(PATIENCE)


def test_worker_told_to_end_by_hand_drains_and_is_replaced(start: Start) -> None:
    gate = start().wait_ready()
    (worker,) = gate.workers()
    held = Held(gate, "slow")
    os.kill(worker, signal.SIGTERM)
    until((gate.data / f"draining-{worker}").exists, "the worker to drain")
    held.release()
    held.join(PATIENCE)
    assert held.answer == (200, b"held to the end")
    assert until(lambda: gate.who() != worker, "its successor")


def test_secrets_reach_workers_neither_by_argument_nor_by_environment(start: Start, redis_url: str) -> None:
    gate = start().wait_ready()
    assert json.loads(gate.get("/who")[1])["redis"] == redis_url
    (worker,) = gate.workers()
    for name in ("cmdline", "environ"):
        assert redis_url.encode() not in Path(f"/proc/{worker}/{name}").read_bytes()


def test_worker_started_later_serves_the_configuration_of_the_start(start: Start) -> None:
    gate = start().wait_ready()
    before = gate.who()
    (gate.folder / "config.yaml").write_text("listen: [nonsense")
    os.kill(before, signal.SIGKILL)
    until(lambda: gate.workers() not in ([], [before]), "another worker")
    assert gate.get("/who")[0] == 200


def test_example_upstream_echoes_what_arrives(start: Start) -> None:
    port = free_port()
    start(example=True, upstreams={"api": {"targets": [f"http://127.0.0.1:{port}"]}}).wait_ready()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("PUT", "/a%20b?c=d", body="höhe".encode(), headers={"X-One": "1"})
        answer = json.loads(connection.getresponse().read())
        assert (answer["method"], answer["path"], answer["body"]) == ("PUT", "/a%20b?c=d", "höhe")
        assert answer["headers"]["X-One"] == "1"
        connection.request("POST", "/", body=bytes(20 << 20))
        answer = json.loads(connection.getresponse().read())
        assert (len(answer["body"]), answer["body_bytes"]) == (1 << 20, 20 << 20)


def test_example_upstream_says_when_its_port_is_in_use(start: Start) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        gate = start(example=True, upstreams={"api": {"targets": [f"http://{place}"]}})
        assert gate.wait_ended() == 1
    assert gate.err.startswith(f"upstreams.api.targets[0]: {place} is in use")


def test_example_upstream_serves_this_machine_only(start: Start) -> None:
    gate = start(example=True, upstreams={"api": {"targets": ["http://203.0.113.5:9000"]}})
    assert gate.wait_ended() == 1
    assert "serves http on this machine only" in gate.err


def test_killed_embedded_server_is_started_again(short_tmp: Path, start: Start) -> None:
    gate = start(storage={"postgres": "embedded", "redis": "embedded", "data_dir": str(short_tmp)}).wait_ready()
    os.kill(int((short_tmp / "redis" / "valkey.pid").read_text()), signal.SIGKILL)
    until(lambda: gate.logged("embedded redis was killed by signal 9"), "the log to say so")
    until(lambda: len((short_tmp / "redis" / "valkey.pid").read_text()) and running(short_tmp), "Valkey again")
    assert gate.get("/who")[0] == 200
    gate.signal(signal.SIGTERM)
    assert gate.wait_ended() == 0
    assert not running(short_tmp)


def running(data_dir: Path) -> bool:
    """Whether a Valkey of that folder lives."""
    try:
        return alive(int((data_dir / "redis" / "valkey.pid").read_text()))
    except (FileNotFoundError, ValueError):
        return False
