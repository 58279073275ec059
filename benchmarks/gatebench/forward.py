"""Part `forward`: requests a second and CPU time a request, the gate beside its peers; and memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

from gatebench import peers
from gatebench.gate import gate
from gatebench.load import Measured, System, interleaved
from gatebench.processes import pss, rss
from gatebench.report import Bar, Goal, Part
from gatebench.stage import SESSIONS, Stage

WORK = {
    "gate: forward": "JWT, session, blacklist, limits, rules, identity headers with assertion, access log",
    "gate: no head twice": "the same, each request with a field that no other had",
    "gate: verify": "the same, answered to nginx's auth_request",
    "nginx": "bare reverse proxy",
    "HAProxy": "JWT HS256, counter in the process",
    "Caddy": "bare reverse proxy",
    "Fastify": "JWT HS256, Redis GET",
}
_FIGURES = ("req/s", "of Caddy", "of Fastify", "CPU us/request", "core %", "p50 ms", "p99 ms", "RSS MiB")
_MIB = 1 << 20


def forward(stage: Stage) -> tuple[Part, list[Bar]]:
    """The main table and the plot's bars."""
    with ExitStack() as stack:
        systems, why_not = _systems(stage, stack)
        found = interleaved(systems, rounds=stage.bounds.rounds, seconds=stage.bounds.seconds, folder=stage.folder)
        memory = {system.name: sum(rss(pid) for pid in system.pids) for system in systems}
    part = Part(
        "Forwarding small JSON: one core for the system, 64 connections",
        ["system", "work a request", *_FIGURES],
        notes=[
            "core %: how much of its core the system got; where it is well below 100, load and upstream (on the other",
            "core) were the limit, or another program had its share. Ratios are medians of the rounds' own ratios.",
        ],
    )
    for name, work in WORK.items():
        measured = found.get(name)
        if measured is None or not measured.rounds:
            part.row(name, work, *["-"] * len(_FIGURES))
            part.notes.append(why_not.get(name) or (measured.why_not if measured else f"{name}: not run"))
            continue
        part.row(name, work, *_cells(measured, found, memory[name]))
        if measured.why_not:
            part.notes.append(f"{name}: stopped after {len(measured.rounds)} rounds: {measured.why_not}")
    part.data = {"rounds": {name: one.as_data() for name, one in found.items()}, "rss": memory, "missing": why_not}
    part.goals = _goals(found) + _memory(stage, part)
    bars = [
        Bar(
            f"{name}" if "gate" in name else f"{name} ({_brief(name)})",
            found[name].median("per_second"),
            "gate" in name,
        )
        for name in WORK
        if name in found and found[name].rounds
    ]
    return part, sorted(bars, key=lambda bar: -bar.value)


def _brief(name: str) -> str:
    return {"nginx": "bare", "Caddy": "bare", "HAProxy": "JWT only", "Fastify": "JWT + Redis"}[name]


def _systems(stage: Stage, stack: ExitStack) -> tuple[list[System], dict[str, str]]:
    api, redis = stage.upstreams["api"], stage.stores.redis
    tools, tokens = stage.tools, stage.peer_tokens
    verifier = stack.enter_context(
        gate(stage.place("verify"), stage.stores, stage.upstreams, trusted_proxies=["127.0.0.1/32"])
    )
    verify_tokens = verifier.sign_in(SESSIONS)
    tried: dict[str, Callable[[], AbstractContextManager[System]]] = {
        "gate: forward": lambda: nullcontext(stage.gate.system("gate: forward", stage.tokens)),
        "gate: no head twice": lambda: nullcontext(
            replace(stage.gate.system("gate: no head twice", stage.tokens), fresh=True)
        ),
        "gate: verify": lambda: nullcontext(verifier.verifying("gate: verify", verify_tokens)),
        "Caddy": lambda: peers.caddy(tools, stage.place("caddy"), api),
        "Fastify": lambda: peers.fastify(tools, stage.place("fastify"), api, redis, tokens),
        "HAProxy": lambda: peers.haproxy(tools, stage.place("haproxy"), api, tokens),
        "nginx": lambda: peers.bare_nginx(tools, stage.place("nginx"), api),
    }
    started = {name: stage.try_to(stack, name, start) for name, start in tried.items()}
    systems = [one for one in started.values() if isinstance(one, System)]
    return systems, {name: one for name, one in started.items() if isinstance(one, str)}


def _cells(measured: Measured, found: dict[str, Measured], memory: int) -> list[str]:
    shares = [measured.ratio(found[peer]) if peer in found else None for peer in ("Caddy", "Fastify")]
    return [
        f"{measured.median('per_second'):,.0f}",
        *("-" if share is None else f"{share:.2f}x" for share in shares),
        f"{measured.median('cpu_us'):.0f}",
        f"{100 * measured.median('busy'):.0f}",
        f"{measured.median('p50'):.2f}",
        f"{measured.median('p99'):.2f}",
        f"{memory / _MIB:.0f}",
    ]


def _goals(found: dict[str, Measured]) -> list[Goal]:
    def share(one: str, other: str, what: str = "per_second") -> float | None:
        return found[one].ratio(found[other], what) if one in found and other in found else None

    own, verify = "gate: forward", "gate: verify"
    cpu = found[own].median("cpu_us") if own in found and found[own].rounds else None
    return [
        Goal("forward, of bare Caddy", share(own, "Caddy"), ">=", 1.0, "x"),
        Goal("forward, of Fastify with JWT + Redis GET", share(own, "Fastify"), ">=", 1.7, "x"),
        Goal("verify, of Fastify's forward", share(verify, "Fastify"), ">=", 2.5, "x"),
        Goal("verify, of HAProxy", share(verify, "HAProxy"), ">=", 0.4, "x"),
        Goal("CPU time a forwarded request", cpu, "<=", 75.0, " us"),
        Goal("CPU time a forwarded request, of Fastify's", share(own, "Fastify", "cpu_us"), "<=", 0.6, "x"),
    ]


def _memory(stage: Stage, part: Part) -> list[Goal]:
    """One worker's memory at its start and under load, and what the embedded servers add."""
    fresh, worker = stage.gate.fresh[0], rss(stage.gate.workers[0])
    servers = {name: sum(map(pss, stage.stores.pids(name))) for name in stage.stores.mains}
    part.data["memory"] = {"worker_fresh": fresh, "worker_after": worker, "servers_pss": servers}
    told = ", ".join(f"{name} {size / _MIB:.0f}" for name, size in servers.items())
    part.notes.append(
        f"Memory in MiB: worker {fresh / _MIB:.0f} before its first request, {worker / _MIB:.0f} after {SESSIONS} "
        f"logins and the load; embedded servers (shared memory counted once) {told}."
    )
    return [
        Goal("memory of one worker, empty gate", fresh / _MIB, "<=", 90.0, " MiB"),
        Goal("memory of the embedded servers", sum(servers.values()) / _MIB, "<=", 60.0, " MiB"),
    ]
