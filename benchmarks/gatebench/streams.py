"""Part `streaming`: a big body down and up through gate and Caddy, and what that does to their memory."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from gatebench import peers
from gatebench.load import System
from gatebench.processes import BenchError, Memory, Quiet, watched_memory
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_BUFFER = 1 << 20
_PATIENCE = 60.0  # seconds without a byte
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stream:
    """One transfer: MB (10^6 bytes) a second, and the system's memory around it."""

    rate: float
    memory: Memory

    @property
    def grown(self) -> float:
        """MiB over the memory at the start, at most."""
        return (self.memory.peak - self.memory.before) / _MIB


def download(system: System, size: int, fields: Mapping[str, str]) -> Stream:
    """GET the big file. Raises BenchError unless all of it came."""
    Quiet.wait()
    with _connected(system.port) as connection, watched_memory(system.pids) as memory:
        begun = perf_counter()
        connection.sendall(_head("GET /files/big", system.port, fields))
        status, left, rest = _answer(connection)
        if status != 200 or left != size:
            raise BenchError(f"{system.name}: status {status}, {left} bytes announced of {size}")
        left -= len(rest)
        buffer = bytearray(_BUFFER)
        while left > 0:
            got = connection.recv_into(buffer, min(left, _BUFFER))
            if not got:
                raise BenchError(f"{system.name}: the download broke off with {left} bytes to come")
            left -= got
        seconds = perf_counter() - begun
    return Stream(size / seconds / 1e6, memory)


def upload(system: System, size: int, fields: Mapping[str, str], big: Path) -> Stream:
    """POST the big file. Raises BenchError unless the upstream got all of it."""
    Quiet.wait()
    with _connected(system.port) as connection, big.open("rb") as file, watched_memory(system.pids) as memory:
        begun = perf_counter()
        connection.sendall(_head("POST /upload/big", system.port, {**fields, "Content-Length": str(size)}))
        sent = connection.sendfile(file, 0, size)
        status, length, body = _answer(connection)
        while len(body) < length:
            body += connection.recv(_BUFFER)
        seconds = perf_counter() - begun
    if status != 200 or body != b'{"bytes":%d}' % size:
        raise BenchError(f"{system.name}: status {status} after {sent} bytes: {body[:100]!r}")
    return Stream(size / seconds / 1e6, memory)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), _PATIENCE)


def _head(what: str, port: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"{what} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _answer(connection: socket.socket) -> tuple[int, int, bytes]:
    """Status, Content-Length (0 without one), and what came of the body with the head."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        data = connection.recv(1 << 16)
        if not data:
            raise BenchError("the connection closed before an answer")
        seen += data
    head, _, rest = seen.partition(b"\r\n\r\n")
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    lengths = [int(value) for name, _, value in lines if name.lower() == b"content-length"]
    return int(head.split(b" ", 2)[1]), lengths[0] if lengths else 0, rest


def streaming(stage: Stage) -> Part:
    """Down and up, gate and Caddy in turn."""
    size, big = stage.bounds.stream, stage.folder / "files" / "big"
    api, sink = stage.upstreams["api"], stage.upstreams["sink"]
    with ExitStack() as stack:
        route = f" reverse_proxy /upload/* 127.0.0.1:{sink}\n"
        other = stage.try_to(stack, "Caddy", lambda: peers.caddy(stage.tools, stage.place("caddy"), api, route))
        own = stage.gate.system("gate", stage.tokens)
        systems = [own] + ([other] if isinstance(other, System) else [])
        why_not = [other] if isinstance(other, str) else []
        seen: dict[str, dict[str, list[Stream]]] = {one.name: {"down": [], "up": []} for one in systems}
        for _ in range(min(3, stage.bounds.rounds)):
            for system in systems:
                fields = system.requests[0] if system.requests else {}
                try:
                    seen[system.name]["down"].append(download(system, size, fields))
                    seen[system.name]["up"].append(upload(system, size, fields, big))
                except (BenchError, OSError) as fault:
                    why_not.append(f"{system.name}: {fault}")
    return _told(size, seen, why_not)


def _told(size: int, seen: dict[str, dict[str, list[Stream]]], why_not: list[str]) -> Part:
    part = Part(
        f"Streaming {size / _MIB:,.0f} MiB through one connection",
        ["system", "way", "MB/s", "of Caddy", "RSS before MiB", "most MiB", "after MiB"],
        notes=list(why_not),
        data={
            name: {way: [asdict(stream) for stream in streams] for way, streams in ways.items()}
            for name, ways in seen.items()
        },
    )
    shares: dict[str, float | None] = {}
    for name, ways in seen.items():
        for way, streams in ways.items():
            if not streams:
                continue
            peer = seen.get("Caddy", {}).get(way, [])
            pairs = list(zip(streams, peer, strict=False))
            share = median(one.rate / other.rate for one, other in pairs) if pairs else None
            if name == "gate":
                shares[way] = share
            worst = max(streams, key=lambda stream: stream.grown).memory
            sizes = [f"{amount / _MIB:.0f}" for amount in (worst.before, worst.peak, worst.after)]
            rate = median(stream.rate for stream in streams)
            part.row(name, way, f"{rate:,.0f}", "-" if share is None else f"{share:.2f}x", *sizes)
    own = seen.get("gate", {})
    for way in ("down", "up"):
        grown = [stream.grown for stream in own.get(way, [])]
        part.goals += [
            Goal(f"streaming {way}, of Caddy", shares.get(way), ">=", 0.7, "x"),
            Goal(f"streaming {way}, memory grows by", max(grown) if grown else None, "<=", 8.0, " MiB"),
        ]
    return part
