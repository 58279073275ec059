"""Part `logins`: logins a second against what Argon2id alone allows, and forwarding meanwhile.

Here the gate may use every core, as it does in production; its password threads are one less than there are cores.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from gatebench.gate import ACCOUNT, gate
from gatebench.latency import open_loop
from gatebench.load import LOAD, Round, System, wrk
from gatebench.processes import CORES, BenchError, run
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_RATE = 300.0  # forwarded requests a second meanwhile
_WAITING = 4  # logins under way


def _ceiling(threads: int, seconds: float) -> float:
    command: list[str | Path] = ["taskset", "-c", ",".join(map(str, CORES)), sys.executable, LOAD / "argon2_ceiling.py"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[1:2])}
    said = json.loads(run([*command, str(threads), str(seconds)], timeout=seconds + 60, env=env))
    return float(said["per_second"])


def logins(stage: Stage) -> Part:
    """Ceiling, forwarding alone, logins and forwarding at once; in turn."""
    threads = max(1, len(CORES) - 1)
    seconds = max(1.0, stage.bounds.seconds)
    rounds: list[dict[str, Any]] = []
    with gate(stage.place("logins"), stage.stores, stage.upstreams, cores=CORES) as own:
        forwarding = own.system("gate", own.sign_in(8))
        fields = {"Content-Type": "application/json"}
        asking = replace(forwarding, path="/_gate/auth/login", requests=[fields], body=json.dumps(ACCOUNT))
        for _ in range(stage.bounds.rounds):
            measured = {
                "ceiling": _ceiling(threads, seconds / 2),
                "ceiling_all_cores": _ceiling(len(CORES), seconds / 2),
                "alone": open_loop(forwarding, _RATE, seconds / 2, connections=16),
            }
            rounds.append(measured | _together(stage, forwarding, asking, seconds))
    return _told(rounds, threads)


def _together(stage: Stage, forwarding: System, asking: System, seconds: float) -> dict[str, Any]:
    done: list[Round] = []
    faults: list[BenchError] = []

    def log_in() -> None:
        try:
            done.append(wrk(asking, seconds + 1, stage.folder, connections=_WAITING))
        except BenchError as fault:
            faults.append(fault)

    thread = threading.Thread(target=log_in)
    thread.start()
    try:
        meanwhile = open_loop(forwarding, _RATE, seconds, connections=16)
    finally:
        thread.join()
    if faults:
        raise faults[0]
    return {"meanwhile": meanwhile, "logins": done[0].per_second, "login_p50": done[0].p50}


def _told(rounds: list[dict[str, Any]], threads: int) -> Part:
    def middle(*keys: str) -> float:
        values = []
        for one in rounds:
            value: Any = one
            for key in keys:
                value = value[key]
            values.append(float(value))
        return median(values)

    part = Part(
        "Logins (Argon2id, OWASP's parameters) and forwarding meanwhile", ["what", "seen"], data={"rounds": rounds}
    )
    share = median(one["logins"] / one["ceiling"] for one in rounds)
    slower = median(one["meanwhile"]["p99"] / one["alone"]["p99"] for one in rounds)
    part.row(f"raw Argon2id with {threads} threads, as many as the gate's", f"{middle('ceiling'):.1f} /s")
    part.row(f"raw Argon2id with {len(CORES)} threads, one a core", f"{middle('ceiling_all_cores'):.1f} /s")
    part.row("logins at the gate", f"{middle('logins'):.1f} /s, {share:.2f} of its threads' ceiling")
    part.row(
        f"forwarding {_RATE:g} requests/s alone, p50 and p99", _pair(middle("alone", "p50"), middle("alone", "p99"))
    )
    part.row("the same during the logins", _pair(middle("meanwhile", "p50"), middle("meanwhile", "p99")))
    part.goals = [
        Goal("logins, of the raw Argon2id ceiling of the gate's threads", share, ">=", 0.9, "x"),
        Goal("forwarded p99 during logins, of p99 without", slower, "<=", 2.0, "x"),
    ]
    return part


def _pair(p50: float, p99: float) -> str:
    return f"{p50:.2f} ms, {p99:.2f} ms"
