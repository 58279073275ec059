"""What all parts of the benchmark share: tools, bounds, the upstreams, the stores and the gate with everything on."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gatebench import peers
from gatebench.gate import Gate, Stores, gate, stores
from gatebench.load import LOAD, System, wrk
from gatebench.processes import CORES, OTHERS, BenchError, free_port, running, wait_for_port
from gatebench.setup import Tools

SESSIONS = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how often."""

    rounds: int = 5
    seconds: float = 4.0
    warm: float = 4.0
    entries: int = 1_000_000
    stream: int = 1 << 30

    @classmethod
    def quick(cls) -> Bounds:
        """For development."""
        return cls(rounds=2, seconds=1.0, warm=3.0, entries=20_000, stream=64 << 20)


@dataclass(slots=True)
class Stage:
    """A running set. ``folder`` is temporary."""

    tools: Tools
    bounds: Bounds
    folder: Path
    upstreams: dict[str, int]
    stores: Stores
    gate: Gate
    tokens: list[str] = field(repr=False)
    peer_tokens: list[str] = field(repr=False)
    year: tuple[Path, datetime] | None = None  # a database with a year of attempts before then, once it is made
    _made: int = 0

    def place(self, name: str) -> Path:
        """A folder's path that nobody has taken; not made yet."""
        self._made += 1
        return self.folder / f"{name}-{self._made}"

    def try_to(self, stack: ExitStack, name: str, start: Callable[[], AbstractContextManager[System]]) -> System | str:
        """A system that runs until ``stack`` ends, warmed up; or why there is none."""
        try:
            system = stack.enter_context(start())
            wrk(system, self.bounds.warm, self.folder)
        except (BenchError, OSError) as fault:
            return f"{name}: {fault}"
        return system


@contextmanager
def staged(bounds: Bounds, now: float) -> Iterator[Stage]:
    """Everything up, in a temporary folder, on the cores where it belongs; gone after the block."""
    os.sched_setaffinity(0, {OTHERS})
    try:
        tools = Tools.set_up()
        with tempfile.TemporaryDirectory(prefix="gatebench-") as name, ExitStack() as stack:
            folder = Path(name)
            folder.chmod(0o755)  # the embedded servers may run as another user
            files = folder / "files"
            files.mkdir()
            with (files / "big").open("wb") as big:
                big.truncate(bounds.stream)  # without blocks: reading it costs no disk
            api = stack.enter_context(peers.upstream(tools, folder / "upstream", files))
            upstreams = {
                "api": api,
                "sink": stack.enter_context(_script("sink.py", folder)),
                "echo": stack.enter_context(_script("websocket.py", folder, "serve")),
            }
            held = stack.enter_context(stores(folder / "stores"))
            own = stack.enter_context(gate(folder / "gate", held, upstreams))
            tokens = own.sign_in(SESSIONS)
            yield Stage(tools, bounds, folder, upstreams, held, own, tokens, peers.hs256_tokens(now, SESSIONS))
    finally:
        os.sched_setaffinity(0, CORES)


@contextmanager
def _script(name: str, folder: Path, *words: str) -> Iterator[int]:
    """One of load/'s servers; its port."""
    port, log = free_port(), folder / f"{name}.log"
    with running([sys.executable, LOAD / name, *words, str(port)], log=log) as process:
        wait_for_port(port, process, log)
        yield port
