"""Child processes that never outlive the gate: started, ended, and found again after a gate was killed.

Used by the rest of ``gatekeeper.store.embedded`` only. A child is in a process group of its own, so Ctrl-C reaches
the gate first. On Linux the kernel ends it with the thread that started it: start servers from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded.account import Account

_PR_SET_PDEATHSIG: Final = 1
_LOG_LIMIT: Final = 1 << 20  # bytes; a longer log is set aside at the next start
_TAIL_LINES: Final = 3
_TAIL_LENGTH: Final = 400
_TAIL_BYTES: Final = 8192
_STEP: Final = 0.01  # seconds between two looks
_HELPER_TIMEOUT: Final = 120.0  # seconds; initdb on a slow disk

Steps = Sequence[tuple[signal.Signals, float]]
"""How to end a server: signals in turn, each with the seconds it is given."""


@dataclass(frozen=True, slots=True)
class Child:
    """A started server; ``log`` from ``log_start`` on is what it said since."""

    process: subprocess.Popen[bytes]
    log: Path
    log_start: int

    def said(self) -> str:
        """The last it wrote, on one line."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self.log_start, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return one_line(file.read().decode(errors="replace"))
        return ""


def one_line(text: str) -> str:
    """The last lines of a server's output, joined."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-_TAIL_LINES:])[-_TAIL_LENGTH:]


def environment() -> dict[str, str]:
    """What a server needs of the gate's environment, which holds secrets and may hold PG* settings."""
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
    return {"PATH": os.defpath, "LC_ALL": "C", **{name: os.environ[name] for name in kept if name in os.environ}}


def spawn(command: Sequence[str], account: Account, log: Path, death_signal: signal.Signals) -> Child:
    """Start a server that writes to ``log`` (0600); it gets ``death_signal`` should the gate die first."""
    try:
        with suppress(FileNotFoundError):
            if log.stat().st_size > _LOG_LIMIT:
                log.replace(log.with_name(f"{log.name}.1"))
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            start = os.fstat(handle).st_size
            process = _popen(command, account, death_signal, stdout=handle, stderr=handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StartupError(f"{command[0]} cannot be started: {error.strerror}") from None
    return Child(process, log, start)


def run(command: Sequence[str], account: Account, text: str = "") -> str:
    """Run a helper such as initdb to its end with ``text`` as its input; ``StartupError`` with its last words."""
    name = Path(command[0]).name
    pipe = subprocess.PIPE
    try:
        with _popen(command, account, signal.SIGKILL, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
            try:
                output = process.communicate(text.encode(), timeout=_HELPER_TIMEOUT)[0].decode(errors="replace")
            except BaseException:
                process.kill()
                raise
    except subprocess.TimeoutExpired:
        raise StartupError(f"{name} did not end within {_HELPER_TIMEOUT:g} s") from None
    except OSError as error:
        raise StartupError(f"{command[0]} cannot be started: {error.strerror}") from None
    if process.returncode:
        raise StartupError(f"{name} failed: {one_line(output)}")
    return output


def _popen(
    command: Sequence[str], account: Account, death_signal: signal.Signals, **streams: Any
) -> subprocess.Popen[bytes]:
    options: Mapping[str, Any] = {**account.spawn_options(), **streams, "env": environment(), "process_group": 0}
    with warnings.catch_warnings():
        # Python >= 3.12 warns of forks beside threads; the child only calls prctl and getppid before exec.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(list(command), preexec_fn=_tie(death_signal), **options)  # noqa: PLW1509  # see above


def _tie(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does last before exec: a change of the user, which comes earlier, would undo it."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


def begin_end(child: Child, steps: Steps) -> None:
    """Send the first signal, without waiting."""
    if child.process.poll() is None:
        child.process.send_signal(signal.SIGCONT)
        child.process.send_signal(steps[0][0])


def finish_end(child: Child, steps: Steps) -> None:
    """Wait, send the further signals, at last SIGKILL."""
    for number, (_, patience) in enumerate(steps):
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(patience)
            return
        child.process.send_signal(steps[number + 1][0] if number + 1 < len(steps) else signal.SIGKILL)
    child.process.wait()


def end_orphan(pid: int, path: Path, steps: Steps) -> None:
    """End a server that a killed gate left behind, or is ending already; one whose command line names ``path``."""
    for number, patience in steps:
        if not is_running(pid, path):
            return
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while is_running(pid, path) and time.monotonic() < deadline:
            time.sleep(_STEP)
    if is_running(pid, path):
        raise StartupError(f"process {pid}, left behind by a killed gate, still uses {path} and does not end")


def is_running(pid: int, path: Path) -> bool:
    """Whether process ``pid`` has ``path`` as an argument; numbers are used again, so a number alone says nothing."""
    if pid <= 1:
        return False
    if sys.platform == "linux":
        try:
            return os.fsencode(path) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
    ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    answer = subprocess.run(ps, check=False, capture_output=True, timeout=_HELPER_TIMEOUT).stdout.strip()
    return b" " + os.fsencode(path) + b" " in answer + b" "


def read_pid(file: Path) -> int:
    """The number in the first line of a pid file; 0 where there is none."""
    try:
        first = file.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:
        return 0
    return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 0


def exists(pid: int) -> bool:
    """Whether any process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
