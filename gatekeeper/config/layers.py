"""File and environment on their way to one configuration: which layer says what, and where. Used by ``config.load``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gatekeeper.config.document import Document
from gatekeeper.config.environment import Given, place
from gatekeeper.config.model import Config
from gatekeeper.config.paths import KeyPath, keys, show_path
from gatekeeper.config.section import Section
from gatekeeper.errors import Fault

EACH: Final = "*"  # stands for every element of a list


@dataclass(slots=True)
class Layers:
    """The values of ``file`` (``raw``) and of the environment (``given``), with what was found wrong so far.

    Without ``opens_files`` the files of secrets are left alone.
    """

    file: Path | None
    document: Document
    raw: dict[str, Any] = field(repr=False)
    given: dict[KeyPath, Given] = field(repr=False)
    faults: list[Fault]
    warnings: list[Fault] = field(default_factory=list)
    secret_files: dict[KeyPath, Path] = field(default_factory=dict)
    opens_files: bool = True

    def fault(self, path: KeyPath, message: str) -> None:
        """Note a mistake, with the place where the value stands."""
        self.faults.append(self._at(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        """Note something worth a look, likewise."""
        self.warnings.append(self._at(path, message))

    def _at(self, path: KeyPath, message: str) -> Fault:
        variable = self._variable_of(path)
        if variable is not None:
            return Fault(show_path(path), message, file=place(variable))
        file = None if self.file is None else str(self.file)
        return Fault(show_path(path), message, self.line_of(path), file)

    def line_of(self, path: KeyPath) -> int | None:
        """The file's line; None for a default, where no line is to blame."""
        return self.document.line_of(path) if path[:1] in self.document.lines else None

    def place_of(self, path: KeyPath) -> str:
        """Where a value of the file stands, as ``config.yaml:12``."""
        line = self.document.line_of(path)
        return f"line {line}" if self.file is None else f"{self.file}:{line}"

    def _variable_of(self, path: KeyPath) -> str | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                return self.given[path[:length]].name
        return None

    def fill_empty_sections(self) -> None:
        """A section whose keys are all commented out is null in YAML and means its defaults."""
        for key in keys(Config):
            if key.section is not None and self.raw.get(key.name, key) is None:
                self.raw[key.name] = {}

    def lay_environment_over(self) -> None:
        """Put the environment's values into ``raw``."""
        for given in self.given.values():
            self._seed_upstream(given.path)
            target: Any = self.raw
            for part in given.path[:-1]:
                target = target.setdefault(part, {}) if isinstance(target, dict) else None
            if isinstance(target, dict):
                target[given.path[-1]] = given.value
            else:
                self.fault(given.path, f"{self.place_of(given.path[:-1])} holds no mapping to put this into")

    def _seed_upstream(self, path: KeyPath) -> None:
        """A key of the default upstream changes that one, where the file names none."""
        default = Config.model_fields["upstreams"].get_default(call_default_factory=True)
        if path[0] == "upstreams" and len(path) > 2 and "upstreams" not in self.raw and path[1] in default:
            self.raw["upstreams"] = {path[1]: default[path[1]].model_dump(mode="json", exclude_unset=True)}

    def sources(self) -> Mapping[str, str]:
        """By key path, where each value that is not a default comes from."""
        found = {
            show_path(path): self.place_of(path)
            for path in self.document.lines
            if path and self._variable_of(path) is None
        }
        for path, given in self.given.items():
            found |= {show_path(inner): place(given.name) for inner in _paths_within(given.value, path)}
        return found | {show_path(path): f"secret file {file}" for path, file in self.secret_files.items()}


def _paths_within(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths_within(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths_within(inner, (*path, index))


def secret_paths(section: type[Section] = Config, around: KeyPath = ()) -> list[KeyPath]:
    """The key paths of all secrets, with ``EACH`` for the elements of a list."""
    found: list[KeyPath] = []
    for key in keys(section):
        if key.section is not None:
            found += secret_paths(key.section, (*around, key.name))
        elif key.listed_section is not None:
            found += secret_paths(key.listed_section, (*around, key.name, EACH))
        elif key.secret:
            found.append((*around, key.name))
    return found
