"""gatekeeper/store/embedded: interrupts, kills, restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis
from embedding import another_process, ask, count, gone, pid, started, told, until
from servers import PATIENCE

from gatekeeper.store.embedded import account, process


def test_an_interrupt_leaves_no_child_behind(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        has = told(gate)
        assert all(os.getpgid(number) == number for number in has["pids"])
        os.killpg(gate.pid, signal.SIGINT)  # as a terminal does: to the gate, and not past it
        assert gate.stdout is not None
        assert gate.stdout.read() == "interrupted\n"
        assert gate.wait(PATIENCE) == 0
        assert all(map(gone, has["pids"]))
    assert "database system is shut down" in (data_dir / "postgres.log").read_text()
    assert not list((data_dir / "run").iterdir())


@pytest.mark.parametrize("tied", [True, False])
def test_after_a_killed_gate_the_next_starts_with_all_data(data_dir: Path, tied: bool) -> None:
    """``tied``: the kernel ends the servers with the gate (Linux); else they are still there (macOS)."""
    with another_process(data_dir, tied=tied) as gate:
        has = told(gate)
        ask(has["addresses"][0], "CREATE TABLE kept AS SELECT 7 AS value")
        with closing(redis.Redis.from_url(has["addresses"][1])) as client:
            client.incr("count")
            if not tied or sys.platform == "linux":
                gate.kill()
                gate.wait(PATIENCE)
            if not tied:
                assert client.ping()
    with started(data_dir) as servers:
        assert all(map(gone, has["pids"]))
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2


def test_a_killed_gates_servers_end_by_themselves(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        numbers = told(gate)["pids"]
        gate.kill()
        gate.wait(PATIENCE)
        if sys.platform == "linux":
            until(lambda: all(map(gone, numbers)))
    with started(data_dir):  # elsewhere the next start sees to it
        assert all(map(gone, numbers))


def test_pid_files_that_name_a_process_of_someone_else_block_nothing_and_harm_nobody(data_dir: Path) -> None:
    with started(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
    someone = account.choose(data_dir)
    with subprocess.Popen(["sleep", "1000"], **someone.spawn_options()) as stranger:
        text = f"{stranger.pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/run\n\n 1 1\nready   \n"
        stale = ["postgres/postmaster.pid", "run/.s.PGSQL.5432.lock", "redis/valkey.pid"]
        for name in stale:
            account.write_private(data_dir / name, text, someone)
        with started(data_dir) as servers:
            assert ask(servers, "SELECT value FROM kept") == 7
            assert count(servers) == 1
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_that_died_is_named_and_starts_again_at_the_same_address(data_dir: Path, name: str) -> None:
    with started(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
        assert count(servers) == 1
        assert servers.poll() == []
        os.kill(pid(servers, name), signal.SIGKILL)
        until(servers.poll)
        [ended] = servers.poll()
        assert (ended.name, ended.status) == (name, -9)
        assert str(ended).startswith(f"embedded {name} was killed by signal 9")
        servers.restart(name)
        assert servers.poll() == []
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2


def test_a_restart_waits_for_the_last_process_of_the_killed_server(data_dir: Path) -> None:
    with started(data_dir, redis=False) as servers, closing(psycopg2.connect(servers.addresses.postgres)) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # it still has the shared memory when its postmaster is dead
        os.kill(pid(servers, "postgres"), signal.SIGKILL)
        until(servers.poll)
        later = threading.Thread(target=_let_go, args=(backend, data_dir / "postgres.log"))
        later.start()
        servers.restart("postgres")
        later.join()
        assert ask(servers, "SELECT 1") == 1
    assert "still in use" in (data_dir / "postgres.log").read_text()


def _let_go(backend: int, log: Path) -> None:
    """Once a start has failed because of it."""
    try:
        until(lambda: "still in use" in log.read_text())
    finally:
        os.kill(backend, signal.SIGCONT)


def test_a_server_that_ignores_its_signal_is_ended_all_the_same(short_tmp: Path) -> None:
    steps = ((signal.SIGTERM, 0.1), (signal.SIGQUIT, 0.1))
    deaf = ["/bin/sh", "-c", "trap '' TERM QUIT; echo ready; while :; do sleep 1000 & wait; done"]
    own = account.Account(os.geteuid(), os.getegid(), switched=False)
    child = process.spawn(deaf, own, short_tmp / "log", signal.SIGKILL)
    until(lambda: "ready" in child.said())
    process.begin_end(child, steps)
    process.finish_end(child, steps)
    assert child.process.returncode == -9
    os.killpg(child.process.pid, signal.SIGKILL)
