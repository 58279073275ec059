"""The frame of the command line: options, exit codes, one line a fault, no tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from gatekeeper.cli import frame, main
from gatekeeper.errors import StartupError

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_it


def python(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes ``explain`` a command that raises."""

    def prepare(error: BaseException) -> None:
        def register(subparsers: frame.Subparsers) -> None:
            parser = subparsers.add_parser("explain")
            parser.set_defaults(run=run, needs_config=False)

        def run(args: object, loaded: object) -> int:
            raise error

        module = ModuleType("failing")
        vars(module).update(register=register)
        monkeypatch.setitem(sys.modules, "gatekeeper.cli.explain", module)

    return prepare


def test_help_names_every_command(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert all(f"\n    {name}" in out for name in frame.COMMANDS)


def test_help_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    code = (
        "import sys; from gatekeeper.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'yaml', 'aiohttp', 'limits', 'redis', 'psycopg2'} & set(sys.modules)))"
    )
    out, err = python(tmp_path, "-c", code).communicate(timeout=60)
    assert out.splitlines()[-1] == "[]", err


@pytest.mark.parametrize("name", sorted(set(frame.COMMANDS) - {"user"}))
def test_every_command_has_help_and_takes_config(run: Run, name: str) -> None:
    status, out, _ = run(name, "--help")
    assert status == 0
    assert "--config FILE" in out or "COMMAND" in out


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("--nonsense",), ("config",), ("config", "nonsense"), ("explain",), ("explain", "GET")],
)
def test_wrong_use_is_one_line_and_exit_2(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--help`" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--config", "gate.yaml", "config", "show"),
        ("--config=gate.yaml", "config", "show"),
        ("config", "--config", "gate.yaml", "show"),
        ("config", "show", "--config", "gate.yaml"),
        ("config", "show", "--config=gate.yaml"),
        ("--config", "other.yaml", "config", "show", "--config", "gate.yaml"),
    ],
)
def test_config_may_stand_before_or_after_the_command(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "gate.yaml").write_text("workers: 7\n")
    status, out, _ = run(*arguments)
    assert status == 0
    assert "workers: 7 " in out


def test_every_fault_of_the_configuration_is_one_line_on_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("workers: 0\ntokens:\n  access_tll: 1m\n")
    status, out, err = run("config", "show")
    assert (status, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith("config.yaml:1: workers: ")
    assert second.startswith("config.yaml:3: tokens.access_tll: ")


def test_a_fault_is_one_line_and_exit_1(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(StartupError("the port is in use"))
    assert run("explain") == (1, "", "the port is in use\n")


def test_the_unexpected_is_one_line_too(
    run: Run, failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(RuntimeError("first\nsecond"))
    monkeypatch.delenv("GATEKEEPER_DEBUG", raising=False)
    status, out, err = run("explain")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "unexpected RuntimeError: first second" in err
    monkeypatch.setenv("GATEKEEPER_DEBUG", "1")
    assert "Traceback" in run("explain")[2]


def test_ctrl_c_is_quiet(run: Run, failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    assert run("explain") == (130, "", "")


def test_a_reader_that_leaves_is_quiet(tmp_path: Path) -> None:
    process = python(tmp_path, "-m", "gatekeeper", "config", "template")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    try:
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == ""
    finally:
        process.stderr.close()


def test_python_m_gatekeeper_is_the_command(tmp_path: Path) -> None:
    process = python(tmp_path, "-m", "gatekeeper", "--version")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("gatekeeper ")


def test_serve_hands_over_to_the_supervisor(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, bool]] = []

    def serve(loaded: object, *, example_upstream: bool) -> int:
        calls.append((loaded.config.workers, example_upstream))  # type: ignore[attr-defined]
        return 0

    monkeypatch.setitem(sys.modules, "gatekeeper.supervisor", SimpleNamespace(serve=serve))
    (tmp_path / "config.yaml").write_text("workers: 3\n")
    status, _, _ = run("serve", "--example-upstream")
    assert (status, calls) == (0, [(3, True)])
