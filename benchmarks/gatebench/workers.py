"""Part `workers`: what two workers on two cores can do of twice what one can, by CPU time a request."""

from __future__ import annotations

from gatebench.gate import gate
from gatebench.load import System, interleaved
from gatebench.processes import CORES, SUBJECT
from gatebench.report import Goal, Part
from gatebench.stage import SESSIONS, Stage

_CONNECTIONS = 16  # few: two workers, load, upstream and Redis share the cores, and Redis must answer in time


def workers(stage: Stage) -> Part:
    """One worker against two; the load shares their cores, so requests a second would say nothing."""
    part = Part("Two workers against one", ["workers", "req/s", "CPU us/request", "capacity, of one worker's"])
    if len(CORES) < 2:
        part.notes.append("This machine has one core.")
        return part
    with gate(stage.place("two"), stage.stores, stage.upstreams, cores=CORES[-2:], workers=2) as two:
        tokens = two.sign_in(SESSIONS)
        systems: list[System] = [stage.gate.system("one", stage.tokens), two.system("two", tokens)]
        bounds = stage.bounds
        interleaved(systems, rounds=1, seconds=bounds.warm, folder=stage.folder, connections=_CONNECTIONS)
        found = interleaved(
            systems, rounds=bounds.rounds, seconds=bounds.seconds, folder=stage.folder, connections=_CONNECTIONS
        )
    cheaper = found["one"].ratio(found["two"], "cpu_us")
    capacity = None if cheaper is None else 2 * cheaper
    for number, (name, one) in enumerate(found.items()):
        share = "1.00x" if not number else "-" if capacity is None else f"{capacity:.2f}x"
        part.row(name, f"{one.median('per_second'):,.0f}", f"{one.median('cpu_us'):.0f}", share)
        part.notes += [one.why_not] if one.why_not else []
    part.notes.append(
        "Capacity is workers divided by CPU time a request. The one worker has a core of its own (core "
        f"{SUBJECT}), the two share both cores with the load."
    )
    part.goals = [Goal("two workers, of one", capacity, ">=", 1.8, "x")]
    part.data = {name: one.as_data() for name, one in found.items()}
    return part
