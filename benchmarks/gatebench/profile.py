"""Where the gate's worker spends its time: py-spy looks at it under load, and self time is added up by function."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gatebench.load import System, wrk
from gatebench.processes import OTHERS, BenchError
from gatebench.setup import Tools


@dataclass(frozen=True, slots=True)
class Profile:
    """Functions with their share of the samples, self and with what they call; the dearest first."""

    samples: int
    own: list[tuple[str, float]]
    total: list[tuple[str, float]]


def profile(tools: Tools, system: System, folder: Path, *, seconds: float, native: bool = False) -> Profile:
    """Sample the first of the system's processes while wrk loads it; idle samples do not count."""
    stacks = folder / ("native.txt" if native else "python.txt")
    options = ["--rate", "40" if native else "250", "--duration", str(round(seconds)), "--output", str(stacks)]
    options += ["--format", "raw", "--function", "--threads", *(["--native"] if native else [])]
    command = ["taskset", "-c", str(OTHERS), tools.path("py-spy"), "record", "--pid", str(system.pids[0]), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as spy:
        try:
            wrk(system, seconds + 2, folder, faults_allowed=True)  # native stacks stop the worker for long
            _, said = spy.communicate(timeout=30)
        finally:
            spy.kill()
    if not stacks.exists():
        raise BenchError(f"py-spy: {' '.join(said[-300:].split())}")
    return _added_up(stacks.read_text())


def _added_up(stacks: str) -> Profile:
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [_short(frame) for frame in frames.split(";")]
        if "MainThread" not in names[0]:  # others wait, which py-spy takes for work where they wait in C
            continue
        own[names[-1]] += int(count)
        total.update(dict.fromkeys(names, int(count)))
    samples = sum(own.values()) or 1
    return Profile(samples, *([(name, count / samples) for name, count in c.most_common(60)] for c in (own, total)))


def _short(frame: str) -> str:
    """``function (module)``, without where things are installed."""
    name, _, place = frame.partition(" (")
    place = place.rstrip(")").partition("site-packages/")[2] or place.rstrip(")")
    return f"{name} ({place})" if place else name
