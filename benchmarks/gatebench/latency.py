"""Part `latency`: an open loop at half of what the gate forwards; what each system adds to a direct request."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from gatebench import peers
from gatebench.load import LOAD, System, wrk
from gatebench.processes import OTHERS, BenchError, Quiet, cpu_seconds, run
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_KEYS = ("p50", "p90", "p99", "p99_9", "max")


def open_loop(system: System, rate: float, seconds: float, connections: int = 64) -> dict[str, Any]:
    """One run of load/openloop.py. Raises BenchError where an answer was missing or refused."""
    told = {
        "port": system.port,
        "path": system.path,
        "rate": rate,
        "seconds": seconds,
        "connections": connections,
        "requests": [dict(one) for one in system.requests],
    }
    Quiet.wait()
    command: list[str | Path] = ["taskset", "-c", str(OTHERS), sys.executable, LOAD / "openloop.py"]
    before = cpu_seconds(system.pids)
    said: dict[str, Any] = json.loads(run(command, timeout=seconds + 60, input=json.dumps(told)))
    said["cpu_us"] = 1e6 * (cpu_seconds(system.pids) - before) / max(1, said["answered"])
    if said["failed"]:
        raise BenchError(f"{system.name}: {said['failed']} of {said['answered']} answers were no 200")
    return said


def latency(stage: Stage) -> Part:
    """Direct, gate, Caddy and Fastify at one rate, in turn."""
    seconds = max(1.0, stage.bounds.seconds)
    own = stage.gate.system("gate: forward", stage.tokens)
    rate = max(10.0, 0.5 * wrk(own, seconds, stage.folder).per_second)
    direct = System("upstream, direct", stage.upstreams["api"], [])
    with ExitStack() as stack:
        api, redis = stage.upstreams["api"], stage.stores.redis
        started = [
            direct,
            own,
            stage.try_to(stack, "Caddy", lambda: peers.caddy(stage.tools, stage.place("caddy"), api)),
            stage.try_to(
                stack,
                "Fastify",
                lambda: peers.fastify(stage.tools, stage.place("fastify"), api, redis, stage.peer_tokens),
            ),
        ]
        systems = [one for one in started if isinstance(one, System)]
        runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in systems}
        why_not = {one.split(":")[0]: one for one in started if isinstance(one, str)}
        for _ in range(stage.bounds.rounds):
            for system in systems:
                if system.name not in why_not:
                    try:
                        runs[system.name].append(open_loop(system, rate, seconds))
                    except BenchError as fault:
                        why_not[system.name] = str(fault)
    return _told(rate, runs, why_not)


def _told(rate: float, runs: Mapping[str, list[dict[str, Any]]], why_not: Mapping[str, str]) -> Part:
    part = Part(
        f"Latency at {rate:,.0f} requests a second (half of what the gate forwards), ms",
        ["system", "p50", "p90", "p99", "p99.9", "max", "added p50", "added p99", "CPU us/request", "unanswered"],
        notes=[
            "Open loop at a constant rate (load/openloop.py), from when a request was due; medians of the rounds.",
            "What is added is over the direct requests of the same round.",
            *why_not.values(),
        ],
        data={"rate": rate, "rounds": dict(runs), "missing": dict(why_not)},
    )
    added: dict[str, dict[str, float]] = {}
    for name, rounds in runs.items():
        if not rounds:
            continue
        pairs = list(zip(rounds, runs["upstream, direct"], strict=False))
        added[name] = {key: median(one[key] - direct[key] for one, direct in pairs) for key in ("p50", "p99")}
        cells = [f"{median(one[key] for one in rounds):.2f}" for key in _KEYS]
        extra = ["-", "-"] if "direct" in name else [f"{added[name][key]:.2f}" for key in ("p50", "p99")]
        extra.append(f"{median(one['cpu_us'] for one in rounds):.0f}")
        part.row(name, *cells, *extra, sum(one["unanswered"] for one in rounds))
    own = added.get("gate: forward", {})
    part.goals = [
        Goal("added latency at half load, p50", own.get("p50"), "<=", 0.3, " ms"),
        Goal("added latency at half load, p99", own.get("p99"), "<=", 2.0, " ms"),
    ]
    return part
