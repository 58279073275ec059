"""The configuration in force as a list for people who may look but not know secrets. Called by the panel.

More is masked than in ``gatekeeper config show``, whose reader has the file: header fields that rules set and all of a
receiver's URL but its host are often secrets too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gatekeeper.config.model import Config
from gatekeeper.config.origin import Origin
from gatekeeper.config.paths import Key, KeyPath, keys, show_path
from gatekeeper.config.section import Section
from gatekeeper.config.show import MASK, masked
from gatekeeper.config.template import defaults_of, flow

_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: its value in a line of YAML, secrets masked; ``given`` where it is not left at its default."""

    path: str
    value: str
    source: str
    given: bool
    waiting: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """A section of config.yaml; ``name`` is empty for the keys that stand in none."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def chapters(config: Config, origin: Origin) -> list[Chapter]:
    """All of it, in the order of the file."""
    reader, values, defaults = _Reader(origin), masked(config), masked(Config())
    single, sections = list[Setting](), list[Chapter]()
    for key in keys(Config):
        settings = tuple(reader.settings(key, values[key.name], defaults[key.name], (key.name,)))
        if key.section or key.named_section or key.listed_section:
            sections.append(Chapter(key.name, key.description, settings))
        else:
            single += settings
    return [Chapter("", "", tuple(single)), *sections]


class _Reader:
    """Walks masked values beside their defaults."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def settings(self, key: Key, value: Any, default: Any, path: KeyPath) -> Iterator[Setting]:
        """Those at and below a key."""
        if key.section is not None:
            yield from self._within(key.section, value, default, path)
        elif key.named_section is not None:
            for name, entry in value.items():
                yield from self._within(key.named_section, entry, defaults_of(key.named_section), (*path, name))
        elif key.listed_section is not None and value:
            for index, element in enumerate(value):
                yield self._setting(key, element, (*path, index), changed=value != default)
        else:
            yield self._setting(key, value, path, changed=value != default)

    def _within(
        self, section: type[Section], values: Mapping[str, Any], defaults: Mapping[str, Any], path: KeyPath
    ) -> Iterator[Setting]:
        for key in keys(section):
            yield from self.settings(key, values[key.name], defaults.get(key.name), (*path, key.name))

    def _setting(self, key: Key, value: Any, path: KeyPath, *, changed: bool) -> Setting:
        name = show_path(path)
        source = self._origin.sources.get(name, _DEFAULT)
        waiting = any(name == one or name.startswith((f"{one}.", f"{one}[")) for one in self._origin.waiting)
        shown = flow(_hidden(value, key.name)).replace(f'"{MASK}"', MASK)
        return Setting(name, shown, source, changed or source != _DEFAULT, waiting, key.description)


def _hidden(value: Any, name: str) -> Any:
    """Without what is likely to be a secret although no field is made for one."""
    if isinstance(value, dict):
        if name in {"request_headers", "response_headers"}:
            return {what: dict.fromkeys(those, MASK) if what == "set" else those for what, those in value.items()}
        return {inner: _hidden(those, inner) for inner, those in value.items()}
    if isinstance(value, list):
        return [_hidden(one, name) for one in value]
    if name == "url" and isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/{MASK}"
    return value
