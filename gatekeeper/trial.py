"""A configuration on trial: what is wrong with a text, or what would change were it in the place of the one in force.

Nothing is changed, kept or written, and no file opened. Called by the panel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.config.load import LoadedConfig, load_text
from gatekeeper.config.model import Config
from gatekeeper.errors import ConfigError, Fault
from gatekeeper.reload import Refused, merged


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What would become of the rules, by their names; ``reordered`` where those that stay would be tried otherwise."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    reordered: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """With ``faults`` nothing would change. Else ``changed`` are the keys that would be in force at once, ``waiting``
    those that a restart would put in force.
    """

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    rules: RuleChanges = RuleChanges()

    @property
    def good(self) -> bool:
        """Whether it could be in force."""
        return not self.faults


class Trials:
    """``current`` is the configuration in force, ``folder`` where its file lies, ``environ`` what it was read with."""

    def __init__(self, current: Callable[[], Config], folder: Callable[[], Path], environ: Mapping[str, str]) -> None:
        self._current = current
        self._folder = folder
        self._environ = environ
        self._turn = asyncio.Lock()  # a large text takes a while, and requests need the processor too

    async def of_text(self, text: str) -> Trial:
        """Judge what would be the whole file."""
        async with self._turn:
            return await asyncio.to_thread(self._judge, text)

    def _judge(self, text: str) -> Trial:
        try:
            loaded = load_text(text, self._folder(), self._environ)
        except ConfigError as error:
            return Trial(faults=tuple(error.faults))
        current = self._current()
        found = merged(current, loaded.config)
        if isinstance(found, Refused):
            return Trial(faults=tuple(Fault("", line) for line in found.faults))
        waiting = tuple(key for key in found.waiting if not _unread(key, loaded))
        return Trial((), loaded.warnings, found.changed, waiting, _rule_changes(current, found.config))


def _unread(key: str, loaded: LoadedConfig) -> bool:
    """Whether it differs only, perhaps, because the file of a secret was not opened."""
    return any(path.startswith(key) and source.startswith("secret file") for path, source in loaded.sources.items())


def _rule_changes(current: Config, wanted: Config) -> RuleChanges:
    old, new = ({rule.name: rule for rule in config.rules} for config in (current, wanted))
    stay = [name for name in new if name in old]
    return RuleChanges(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in stay if old[name] != new[name]),
        stay != [name for name in old if name in new],
    )
