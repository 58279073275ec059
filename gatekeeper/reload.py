"""Changes of the configuration while the gate runs. Followed by ``supervisor``, which hands good ones to its workers.

SIGHUP, or another content of the file, found by looking at it twice a second. A node follows its own file: gates that
share their stores agree once each has been given the same one. What cannot change without a restart is named, and
stays as it was; what is wrong changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from gatekeeper.config.checks import check_rules, contradictions
from gatekeeper.config.load import LoadedConfig, load
from gatekeeper.config.model import Config
from gatekeeper.config.origin import UNKNOWN, Origin
from gatekeeper.config.paths import KeyPath, keys, show_path
from gatekeeper.errors import ConfigError

LOOK_EVERY: Final = 0.5  # seconds
#: What changes in a running gate.
RELOADED: Final[tuple[KeyPath, ...]] = (
    ("rules",),
    ("upstreams",),
    ("limits",),
    ("otp", "limit"),
    ("bans",),
    ("cors",),
    ("logs", "level"),
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A good configuration: ``config`` is what is to be in force, ``changed`` the keys in which it differs from what
    was; ``waiting`` are those that differ in the file and need a restart. ``origin`` is that of the file as it is now.
    """

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]
    origin: Origin = UNKNOWN


@dataclass(frozen=True, slots=True)
class Refused:
    """A bad one, with one line for each fault."""

    faults: tuple[str, ...]


def merged(current: Config, wanted: Config) -> Changed | Refused:
    """What of ``wanted`` can be in force now. It is judged together with what has to stay."""
    config = _with(current, wanted)
    faults = [*contradictions(config), *check_rules(config)[1]]
    if faults:
        lines = (f"{show_path(path)}: {message} (with what needs a restart left as it is)" for path, message in faults)
        return Refused(tuple(lines))
    differing = list(_differing(current, wanted))
    changed = tuple(show_path(path) for path in differing if _follows(path))
    return Changed(config, changed, tuple(show_path(path) for path in differing if not _follows(path)))


def _with(current: Config, wanted: Config) -> Config:
    updates: dict[str, Any] = {}
    for path in RELOADED:
        value = getattr(wanted, str(path[0]))
        if len(path) > 1:
            section = updates.get(str(path[0]), getattr(current, str(path[0])))
            value = section.model_copy(update={str(path[1]): getattr(value, str(path[1]))})
        updates[str(path[0])] = value
    return current.model_copy(update=updates)


def _follows(path: KeyPath) -> bool:
    return path in RELOADED or path[:1] in RELOADED


def _differing(current: Config, wanted: Config) -> Iterator[KeyPath]:
    for key in keys(Config):
        mine, theirs = getattr(current, key.attribute), getattr(wanted, key.attribute)
        if mine == theirs:
            continue
        if key.section is None:
            yield (key.name,)
            continue
        for inner in keys(key.section):
            if getattr(mine, inner.attribute) != getattr(theirs, inner.attribute):
                yield key.name, inner.name


class ConfigWatch:
    """Waits for another configuration than ``loaded``. ``environ`` is the environment of the start."""

    def __init__(
        self,
        loaded: LoadedConfig,
        environ: Mapping[str, str],
        *,
        every: float = LOOK_EVERY,
        load: Callable[[Path | None, Mapping[str, str]], LoadedConfig] = load,
    ) -> None:
        self._file = None if loaded.file is None else loaded.file.absolute()
        self._environ = dict(environ)
        self._every = every
        self._load = load
        self._asked = asyncio.Event()
        self._seen = _digest(self._file)
        self.current = loaded.config

    def ask(self) -> None:
        """SIGHUP: read everything anew, whether the file has changed or not (another file may be named in it)."""
        self._asked.set()

    async def next(self) -> Changed | Refused:
        """The next change, once there is one."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._every)
            asked = self._asked.is_set()
            self._asked.clear()
            digest = await asyncio.to_thread(_digest, self._file)
            if not asked and digest == self._seen:
                continue
            self._seen = digest
            found = await asyncio.to_thread(self._read)
            if isinstance(found, Changed):
                self.current = found.config
            return found

    def _read(self) -> Changed | Refused:
        try:
            wanted = self._load(self._file, self._environ)
        except ConfigError as error:
            return Refused(tuple(str(fault) for fault in error.faults))
        found = merged(self.current, wanted.config)
        return replace(found, origin=Origin.of(wanted, found.waiting)) if isinstance(found, Changed) else found


def _digest(file: Path | None) -> bytes:
    """What the file holds, in short; of one that cannot be read, why."""
    if file is None:
        return b""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as fault:
        return str(fault.errno).encode()


def in_words(change: Changed | Refused) -> Iterator[str]:
    """For the log, a line each."""
    match change:
        case Refused(faults):
            yield from chain(("the configuration is not reloaded, the old one stays in force",), faults)
        case Changed(_, changed, waiting, _):
            yield f"the configuration is reloaded: {', '.join(changed) if changed else 'nothing has changed'}"
            if waiting:
                yield f"changed in the file, but only a restart puts it in force: {', '.join(waiting)}"
