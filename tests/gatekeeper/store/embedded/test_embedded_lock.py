"""gatekeeper/store/embedded: one gate a folder, and commands as guests."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from embedding import another_process, ask, count, finish, gone, pid, started, told, until, vars_of
from servers import PATIENCE

from gatekeeper.errors import StartupError
from gatekeeper.store import embedded


def test_a_second_gate_is_refused_with_the_number_of_the_first(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOCK_PATIENCE", 0.2)
    with another_process(new_data_dir, postgres=False) as first:
        told(first)
        with (
            pytest.raises(StartupError, match=rf"in use by another gate \(pid {first.pid}\)"),
            started(new_data_dir, postgres=False),
        ):
            pass
        finish(first)


def test_a_second_gate_waits_for_the_first_to_be_gone(new_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LOCK_PATIENCE", PATIENCE)
    with another_process(new_data_dir, postgres=False) as first:
        told(first)
        first.send_signal(signal.SIGINT)  # and straight on
        with started(new_data_dir, postgres=False) as servers:
            assert count(servers) == 1
        assert first.wait(PATIENCE) == 0


def test_a_command_attaches_to_a_running_gate_and_leaves_it_running(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        has = told(gate)
        with started(data_dir, attach=True) as servers:
            assert servers.attached
            assert vars_of(servers) == has["addresses"]
            assert ask(servers, "SELECT 1") == count(servers) == 1
            assert servers.poll() == []
        assert not any(map(gone, has["pids"]))
        with started(data_dir, attach=True) as servers:
            assert count(servers) == 2
        finish(gate)
        assert all(map(gone, has["pids"]))


def test_a_command_without_a_gate_starts_the_servers_and_stops_them(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False, attach=True) as servers:
        assert not servers.attached
        number = pid(servers, "redis")
        assert count(servers) == 1
    assert gone(number)


def test_a_command_waits_for_a_gate_that_is_still_starting(new_data_dir: Path) -> None:
    with another_process(new_data_dir) as gate:
        until((new_data_dir / "lock").exists)
        with started(new_data_dir, attach=True) as servers:
            assert ask(servers, "SELECT 1") == count(servers) == 1
        told(gate)
        finish(gate)


def test_a_command_that_attaches_to_another_commands_servers_keeps_them_to_its_end(new_data_dir: Path) -> None:
    with another_process(new_data_dir, postgres=False, attach=True) as first:
        assert told(first)["attached"] is False
        assert first.stdin is not None
        with started(new_data_dir, postgres=False, attach=True) as servers:
            first.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                first.wait(0.5)
            assert count(servers) == 1
        assert first.wait(PATIENCE) == 0


def test_a_command_says_so_when_the_holder_has_no_servers_that_answer(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ATTACH_PATIENCE", 0.2)
    with another_process(new_data_dir, postgres=False) as gate:
        for number in told(gate)["pids"]:
            os.kill(number, signal.SIGKILL)
            until(lambda number=number: gone(number))
        with (
            pytest.raises(StartupError, match=f"held by process {gate.pid}"),
            started(new_data_dir, postgres=False, attach=True),
        ):
            pass
        finish(gate)
