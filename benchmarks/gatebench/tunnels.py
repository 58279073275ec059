"""Part `websocket`: echoes a second through gate and Caddy, and the CPU time of a message."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from gatebench import peers
from gatebench.load import LOAD, System
from gatebench.processes import OTHERS, BenchError, Quiet, cpu_seconds, run
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_CONNECTIONS = 32
_SIZE = 64


def echo(system: System, seconds: float) -> dict[str, Any]:
    """One run of load/websocket.py. Raises BenchError where no tunnel opened."""
    told = {
        "port": system.port,
        "path": "/echo/1",
        "headers": dict(system.requests[0]) if system.requests else {},
        "connections": _CONNECTIONS,
        "seconds": seconds,
        "size": _SIZE,
    }
    Quiet.wait()
    before = cpu_seconds(system.pids)
    command: list[str | Path] = ["taskset", "-c", str(OTHERS), sys.executable, LOAD / "websocket.py", "drive"]
    said: dict[str, Any] = json.loads(run(command, timeout=seconds + 60, input=json.dumps(told)))
    if said["status"] != 101:
        raise BenchError(f"{system.name}: not supported yet (status {said['status']} to the upgrade)")
    said["per_second"] = said["messages"] / said["seconds"]
    said["cpu_us"] = 1e6 * (cpu_seconds(system.pids) - before) / max(1, said["messages"])
    return said


def websocket(stage: Stage) -> Part:
    """Direct, gate and Caddy in turn."""
    port = stage.upstreams["echo"]
    with ExitStack() as stack:
        try:
            other = stack.enter_context(peers.caddy(stage.tools, stage.place("caddy"), port))
        except BenchError as fault:
            why_not, others = {"Caddy": f"Caddy: {fault}"}, []
        else:
            why_not, others = {}, [other]
        systems = [System("echo server, direct", port, []), stage.gate.system("gate", stage.tokens), *others]
        runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in systems}
        for _ in range(stage.bounds.rounds):
            for system in systems:
                if system.name not in why_not:
                    try:
                        runs[system.name].append(echo(system, max(1.0, stage.bounds.seconds / 2)))
                    except BenchError as fault:
                        why_not[system.name] = str(fault)
    part = Part(
        f"WebSocket echo: {_CONNECTIONS} connections, {_SIZE} bytes a message, one under way on each",
        ["system", "messages/s", "of Caddy", "CPU us/message", "p50 ms", "p99 ms"],
        data={"rounds": runs, "missing": why_not},
    )
    share = None
    for name, rounds in runs.items():
        if not rounds:
            part.row(name, "-", "-", "-", "-", "-")
            continue
        pairs = list(zip(rounds, runs.get("Caddy", []), strict=False))
        ratio = median(one["per_second"] / peer["per_second"] for one, peer in pairs) if pairs else None
        share = ratio if name == "gate" else share
        middle = {key: median(one[key] for one in rounds) for key in ("per_second", "cpu_us", "p50", "p99")}
        part.row(
            name,
            f"{middle['per_second']:,.0f}",
            "-" if ratio is None else f"{ratio:.2f}x",
            "-" if "direct" in name else f"{middle['cpu_us']:.0f}",
            f"{middle['p50']:.2f}",
            f"{middle['p99']:.2f}",
        )
    part.notes = [*why_not.values(), "Both ends are Python on one core; compare CPU time where they are the limit."]
    part.goals = [Goal("WebSocket echo, of Caddy", share, ">=", 1.0, "x")]
    return part
