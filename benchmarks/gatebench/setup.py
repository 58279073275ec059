"""What the benchmark needs beside the gate: installed where it may be, else the table says what is missing and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from gatebench.processes import BenchError, run

HOME = Path(__file__).parent.parent
VENV = HOME / ".venv"
FASTIFY = HOME / "peers" / "fastify"
_DEBIAN = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "node": "nodejs",
    "npm": "npm",
    "taskset": "util-linux",
}


class Tools:
    """Programs by name; ``missing`` says of each absent one why."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    @classmethod
    def set_up(cls) -> Tools:
        """Install what is absent and may be installed: Debian packages as root, a venv, Fastify's packages."""
        tools = cls()
        tools._debian()
        tools._venv()
        tools._fastify()
        return tools

    def path(self, name: str) -> str:
        """A program. Raises BenchError with the reason where it is missing."""
        if name in self.missing:
            raise BenchError(self.missing[name])
        own = VENV / "bin" / name
        found = str(own) if own.exists() else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if found is None:
            raise BenchError(f"{name} is not installed")
        return found

    def _debian(self) -> None:
        absent = [name for name in _DEBIAN if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]
        if not absent:
            return
        packages = [_DEBIAN[name] for name in absent]
        why = f"not installed; `apt-get install {' '.join(packages)}` brings it"
        if os.geteuid() == 0 and shutil.which("apt-get"):
            print(f"installing {' '.join(packages)} ...", file=sys.stderr)
            try:
                run(["apt-get", "update", "-qq"], timeout=300)
                run(
                    ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
                    timeout=600,
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                )
            except BenchError as fault:
                why = f"not installed, and apt-get could not: {fault}"
        for name in absent:
            if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
                self.missing[name] = f"{name}: {why}"

    def _venv(self) -> None:
        wanted, marker = HOME / "requirements.txt", VENV / "installed"
        if marker.exists() and marker.read_text() == wanted.read_text():
            return
        print("installing Caddy and py-spy into benchmarks/.venv ...", file=sys.stderr)
        try:
            run([sys.executable, "-m", "venv", VENV], timeout=120)
            run(
                [VENV / "bin" / "pip", "install", "-q", "--require-hashes", "--only-binary=:all:", "-r", wanted],
                timeout=300,
            )
        except BenchError as fault:
            self.missing.update({name: f"{name}: {fault}" for name in ("caddy", "py-spy")})
            return
        marker.write_text(wanted.read_text())

    def _fastify(self) -> None:
        lock, marker = FASTIFY / "package-lock.json", FASTIFY / "node_modules" / "installed"
        if marker.exists() and marker.read_text() == lock.read_text():
            return
        try:
            npm = self.path("npm")
            print("installing Fastify ...", file=sys.stderr)
            run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], timeout=300, cwd=FASTIFY)
        except BenchError as fault:
            self.missing["fastify"] = f"fastify: {fault}"
            return
        marker.write_text(lock.read_text())


def version(command: list[str]) -> str:
    """The first line that a program says of its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    said = (done.stdout or done.stderr).strip().splitlines()
    return said[0] if said else "unknown"
