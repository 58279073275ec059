"""The whole run: which parts there are, in which order, and what is done with their results. Called by run.py."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, strftime
from types import FrameType
from typing import Any

from gatebench import record, report
from gatebench.forward import forward
from gatebench.growth import growth
from gatebench.journal import journal
from gatebench.latency import latency
from gatebench.logins import logins
from gatebench.panel import panel
from gatebench.peers import Tuning
from gatebench.processes import CORES, BenchError, run
from gatebench.profile import profile
from gatebench.report import Bar, Part
from gatebench.setup import FASTIFY, Tools, version
from gatebench.signals import signals
from gatebench.stage import Bounds, Stage, staged
from gatebench.streams import streaming
from gatebench.tunnels import websocket
from gatebench.workers import workers

RESULTS = Path(__file__).parent.parent / "results"
_LONGEST = 60 * 60  # seconds; then the run ends by itself


def _profile(stage: Stage) -> Part:
    system = stage.gate.system("gate", stage.tokens)
    seen = profile(stage.tools, system, stage.folder, seconds=max(4.0, 2 * stage.bounds.seconds))
    part = Part("Where a forwarded request's time goes (py-spy, self time)", ["function", "share"])
    for name, share in seen.own[:25]:
        part.row(f"`{name}`", f"{100 * share:.1f} %")
    part.data = {"samples": seen.samples, "own": seen.own, "total": seen.total}
    return part


#: Parts by name; `forward` also makes the plot and stands apart.
PARTS: dict[str, Callable[[Stage], Part]] = {
    "latency": latency,
    "workers": workers,
    "growth": growth,
    "streaming": streaming,
    "websocket": websocket,
    "logins": logins,
    "journal": journal,
    "panel": panel,
    "signals": signals,
    "profile": _profile,
}


def run_plan(*, quick: bool, only: list[str], results: Path = RESULTS) -> int:
    """Everything, or the parts named; 0 unless nothing could be measured. A quick run is not stored, nor one of another
    checkout's gate; of others each part takes its place in the record.
    """
    from gatekeeper.clock import SystemClock

    unknown = set(only) - {"forward", *PARTS}
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are forward, {', '.join(PARTS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGALRM, _ended)
    signal.alarm(_LONGEST)
    begun = perf_counter()
    parts: dict[str, Part] = {}
    bars: list[Bar] = []
    try:
        with staged(Bounds.quick() if quick else Bounds(), SystemClock().now()) as stage:
            about = _about(stage)
            for name in [one for one in ("forward", *PARTS) if not only or one in only]:
                parts[name], more = _measured(name, stage)
                bars += more
                print(f"\n{report.plain(parts[name])}", flush=True)
    except BenchError as fault:
        print(f"benchmark: {fault}", file=sys.stderr)
        return 1
    print(f"\n{report.plain(report.goals(list(parts.values())))}")
    about["seconds"] = round(perf_counter() - begun)
    if quick or Path(sys.path[1]) != RESULTS.parents[1]:
        print("\nA quick run or one of another checkout is not stored.")
    else:
        for path in record.keep(results, about, parts, bars):
            print(f"wrote {path}")
    return 0


def _measured(name: str, stage: Stage) -> tuple[Part, list[Bar]]:
    """One part; what keeps it from running becomes its table."""
    try:
        if name == "forward":
            return forward(stage)
        return PARTS[name](stage), []
    except (BenchError, OSError, ValueError, LookupError) as fault:
        return Part(name, notes=[f"not measured: {fault}"], data={"why_not": str(fault)}), []


def _ended(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise BenchError("took too long" if number == signal.SIGALRM else "told to stop")


def _about(stage: Stage) -> dict[str, Any]:
    tools = stage.tools
    return {
        "date": strftime("%Y-%m-%d"),
        "machine": {
            "processor": _processor(),
            "cores": len(CORES),
            "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
            "kernel": f"{platform.system()} {platform.release()}",
            "load before": f"{os.getloadavg()[0]:.1f}",
        },
        "versions": {
            "python": platform.python_version(),
            "gate": _gate_version(),
            "nginx": _version(tools, "nginx", "-v"),
            "haproxy": _version(tools, "haproxy", "-v"),
            "caddy": _version(tools, "caddy", "version"),
            "node": _version(tools, "node", "--version"),
            "fastify": _npm_version("fastify"),
        },
        "bounds": {
            "rounds": stage.bounds.rounds,
            "seconds": stage.bounds.seconds,
            "entries": stage.bounds.entries,
            "tuned peers": Tuning.on,
        },
        "missing": tools.missing,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(tools: Tools, name: str, word: str) -> str:
    try:
        return version([tools.path(name), word])
    except BenchError:
        return "missing"


def _npm_version(name: str) -> str:
    import json

    place = FASTIFY / "node_modules" / name / "package.json"
    return str(json.loads(place.read_text())["version"]) if place.exists() else "missing"


def _gate_version() -> str:
    try:
        return run(["git", "-C", sys.path[1], "describe", "--always", "--dirty"], timeout=10).strip()
    except BenchError:
        return "unknown"
