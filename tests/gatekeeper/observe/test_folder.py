"""observe.folder: the metrics of all workers, and nothing left of those of the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gatekeeper.observe.folder import forget_gauges, metrics_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_lives_as_long_as_its_gate(temporary: Path) -> None:
    with metrics_folder() as folder:
        (folder / "counter_1.db").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_gates_beside_each_other_keep_theirs() -> None:
    with metrics_folder() as first, metrics_folder() as second:
        assert first != second
        assert first.is_dir()


def test_folder_of_a_killed_gate_is_removed_by_the_next(temporary: Path) -> None:
    code = "import gatekeeper.observe.folder as f\nwith f.metrics_folder() as p: print(p, flush=True); input()"
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[3])}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=environment, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with metrics_folder():
            assert left.is_dir()
        other.send_signal(signal.SIGKILL)
    assert left.is_dir()
    with metrics_folder():
        assert not left.exists()


def test_ended_worker_is_forgotten_but_not_what_it_counted(tmp_path: Path) -> None:
    names = {"gauge_livesum_7.db", "gauge_livesum_77.db", "counter_7.db", "gauge_livemin_7.db"}
    for name in names:
        (tmp_path / name).touch()
    forget_gauges(tmp_path, 7)
    assert {file.name for file in tmp_path.iterdir()} == {"gauge_livesum_77.db", "counter_7.db"}
