"""Closed-loop load: wrk on the core of everything else, and the CPU time that it cost the system under test."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from gatebench.processes import OTHERS, BenchError, Quiet, cpu_seconds, run

LOAD = Path(__file__).parent.parent / "load"
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class System:
    """One server under test: where it listens, what each request carries, and its processes.

    ``requests`` are sets of header fields sent in turn; with a ``body`` they are POSTs; ``fresh`` ones have a field
    that no other has.
    """

    name: str
    port: int
    pids: Sequence[int]
    path: str = "/api/items/1"
    requests: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    body: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """One measured stretch: latencies in ms, CPU time of the system in us a request.

    ``busy`` is the share of one core that the system used: well below 1 the load, or somebody else, was the limit.
    """

    per_second: float
    cpu_us: float
    busy: float
    p50: float
    p99: float
    failed: int

    @classmethod
    def of(cls, told: Mapping[str, Any], cpu: float) -> Round:
        """From wrk's own words."""
        requests = max(int(told["requests"]), 1)
        failed = int(told["refused"]) + int(told["broken"])
        seconds = told["seconds"]
        return cls(requests / seconds, 1e6 * cpu / requests, cpu / seconds, told["p50"], told["p99"], failed)


def wrk(
    system: System, seconds: float, folder: Path, *, connections: int = CONNECTIONS, faults_allowed: bool = False
) -> Round:
    """One round. Raises BenchError where a request failed: a refusal is cheap and must not count as speed."""
    requests = folder / "requests.txt"
    requests.write_text("".join(f"{_block(one)}\n" for one in system.requests))
    env = {"REQUESTS": str(requests), "PATH": os.environ["PATH"]} | ({"BODY": system.body} if system.body else {})
    env |= {"FRESH": "1"} if system.fresh else {}
    url = f"http://127.0.0.1:{system.port}{system.path}"
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--latency"]
    Quiet.wait()
    before = cpu_seconds(system.pids)
    command = ["taskset", "-c", str(OTHERS), "wrk", *options, "-s", str(LOAD / "rotate.lua"), url]
    said = run(command, timeout=seconds + 30, env=env)
    cpu = cpu_seconds(system.pids) - before
    line = next((one for one in said.splitlines() if one.startswith("JSON ")), None)
    if line is None:
        raise BenchError(f"wrk said nothing of {system.name}")
    told = json.loads(line[5:])
    done = Round.of(told, cpu)
    if done.failed and not faults_allowed:
        raise BenchError(
            f"{system.name}: {done.failed} of {told['requests']} requests failed; one of them {_asked(system)}"
        )
    return done


def _asked(system: System) -> str:
    """What the system answers to one request, for the reader who wonders why a round failed."""
    fields = dict(system.requests[0]) if system.requests else {}
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    try:
        with contextlib.closing(connection):
            connection.request("POST" if system.body else "GET", system.path, system.body or None, fields)
            answer = connection.getresponse()
            return f"now: {answer.status} {answer.read(200)!r}"
    except (OSError, http.client.HTTPException) as fault:
        return f"now: {fault!r}"


def _block(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


@dataclass(slots=True)
class Measured:
    """All rounds of one system, the bad ones too; ``why_not`` where it could not be measured (to the end)."""

    name: str
    rounds: list[Round] = field(default_factory=list)
    why_not: str = ""

    def median(self, what: str) -> float:
        """The median of one of Round's figures; 0 without a round."""
        return float(median(getattr(one, what) for one in self.rounds)) if self.rounds else 0.0

    def ratio(self, other: Measured, what: str = "per_second") -> float | None:
        """The median of this one's share of the other, round by round, so that both met the same disturbance."""
        pairs = [(getattr(a, what), getattr(b, what)) for a, b in zip(self.rounds, other.rounds, strict=False)]
        shares = [a / b for a, b in pairs if b]
        return float(median(shares)) if shares else None

    def as_data(self) -> dict[str, Any]:
        """For the JSON file."""
        return {"why_not": self.why_not, "rounds": [asdict(one) for one in self.rounds]}


def interleaved(
    systems: Sequence[System], *, rounds: int, seconds: float, folder: Path, connections: int = CONNECTIONS
) -> dict[str, Measured]:
    """Every system in turn, round by round, so that what disturbs the machine disturbs them all."""
    found = {system.name: Measured(system.name) for system in systems}
    for _ in range(rounds):
        for system in systems:
            measured = found[system.name]
            if measured.why_not:
                continue
            try:
                measured.rounds.append(wrk(system, seconds, folder, connections=connections))
            except BenchError as fault:
                measured.why_not = str(fault)
    return found
