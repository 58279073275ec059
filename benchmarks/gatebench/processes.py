"""Child processes of the benchmark, each on a core of its own choice, ended by pid; and what /proc says of them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_END_PATIENCE = 40.0  # seconds; a gate lets its requests finish first
CORES = sorted(os.sched_getaffinity(0))
#: The core of the systems under test, and the one of everything else (the same on a machine with one core).
SUBJECT, OTHERS = CORES[-1], CORES[0]


class BenchError(Exception):
    """A part of the benchmark cannot run; one line says why, and the table shows it."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep every thread of a process on ``cores``; threads made later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    cores: Sequence[int] = (OTHERS,),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server within the block; what it says goes to ``log``."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, patience: float = 60.0) -> None:
    """Until somebody listens. Raises BenchError with the log's last words."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{log.stem} does not start: {last_words(log)}")
        time.sleep(0.02)


def last_words(log: Path) -> str:
    """The end of a log, on one line."""
    return " ".join(log.read_text(errors="replace")[-300:].split()) if log.exists() else "(no log)"


def run(command: Sequence[str | Path], *, timeout: float, **kwargs: object) -> str:
    """A command's standard output. Raises BenchError when it fails or takes too long."""
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise BenchError(f"{words[0]}: {fault}") from None
    if done.returncode:
        raise BenchError(f"{' '.join(words[:4])}: {' '.join((done.stderr or done.stdout)[-300:].split())}")
    return str(done.stdout)


class Quiet:
    """Waiting for other programs to leave the machine alone, for at most ``patience`` seconds a round."""

    patience: ClassVar[float] = 0.0

    @classmethod
    def wait(cls) -> None:
        """Until four fifths of the machine were idle for half a second; at once without patience."""
        deadline = time.monotonic() + cls.patience
        while time.monotonic() < deadline:
            idle, total = _idle()
            time.sleep(0.5)
            now_idle, now_total = _idle()
            if now_idle - idle >= 0.8 * (now_total - total):
                return


def _idle() -> tuple[int, int]:
    ticks = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise BenchError(f"process {pid} has ended") from None


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of these processes so far."""
    return sum(int(ticks) for pid in pids for ticks in _fields(pid)[11:13]) / _TICKS


def rss(pid: int) -> int:
    """Bytes of resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def pss(pid: int) -> int:
    """Bytes of memory, what is shared with others counted by share; needs the same user or root. 0 once it ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return _pss(pid)
    return 0


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def descendants(pid: int) -> dict[int, str]:
    """Processes below ``pid``: pid and command line."""
    found: dict[int, str] = {}
    below: dict[int, list[int]] = {}
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, BenchError):
            below.setdefault(int(_fields(int(one.name))[1]), []).append(int(one.name))
    waiting = list(below.get(pid, []))
    while waiting:
        child = waiting.pop()
        with contextlib.suppress(OSError):
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        waiting += below.get(child, [])
    return found


@dataclass(slots=True)
class Memory:
    """Resident bytes of some processes: at the start, at most, at the end."""

    before: int = 0
    peak: int = 0
    after: int = 0


@contextlib.contextmanager
def watched_memory(pids: Sequence[int], every: float = 0.05) -> Iterator[Memory]:
    """Look at the processes' memory while the block runs."""
    memory, over = Memory(), threading.Event()

    def now() -> int:
        return sum(rss(pid) for pid in pids)

    def look() -> None:
        while not over.wait(every):
            with contextlib.suppress(OSError):
                memory.peak = max(memory.peak, now())

    memory.before = memory.peak = now()
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()
        memory.after = now()
        memory.peak = max(memory.peak, memory.after)
