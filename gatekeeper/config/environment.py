"""Values from the environment: ``GATEKEEPER__TOKENS__ACCESS_TTL=15m`` sets ``tokens.access_ttl``.

Used by ``config.load``.

Text is taken as it stands; everything else is read as YAML, so lists and mappings can be given in flow style.
Lists of plain values may be separated by commas. ``NAME_FILE`` of a secret names the file that holds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatekeeper.config.document import parse
from gatekeeper.config.model import Config
from gatekeeper.config.paths import Key, KeyPath, find_key, keys, show_path
from gatekeeper.config.section import Section
from gatekeeper.config.words import unknown_key
from gatekeeper.errors import ConfigError, Fault

PREFIX: Final = "GATEKEEPER__"


@dataclass(frozen=True, slots=True)
class Given:
    """One value from the variable ``name``; a path that ends in ``_file`` names the file of a secret."""

    path: KeyPath
    value: Any = field(repr=False)
    name: str


def place(name: str) -> str:
    """How faults and ``config show`` name a variable."""
    return f"environment {name}"


def read_environment(environ: Mapping[str, str], upstream_names: Collection[str], faults: list[Fault]) -> list[Given]:
    """Every value that the environment gives, the more general first; mistakes are added to ``faults``.

    ``upstream_names`` are those of the file: variables have no dashes, so MY_API means ``my-api`` where it exists.
    """
    given: list[Given] = []
    for name in sorted(
        filter(lambda name: name.startswith(PREFIX), environ), key=lambda name: (name.count("__"), name)
    ):
        reader = _Variable(name, environ[name], upstream_names)
        try:
            given.extend(reader.read())
        except ConfigError as error:
            faults.extend(error.faults)
    return given


class _Variable:
    """One environment variable on its way into the configuration."""

    def __init__(self, name: str, text: str, upstream_names: Collection[str]) -> None:
        self._name = name
        self._text = text
        self._names = upstream_names

    def read(self) -> Iterator[Given]:
        parts = self._name.removeprefix(PREFIX).lower().split("__")
        section: type[Section] = Config
        path: KeyPath = ()
        while parts:
            name, parts = parts[0], parts[1:]
            path = (*path, name)
            key = find_key(section, name)
            if key is None:
                yield self._secret_file(section, path, parts)
                return
            if key.named_section is not None and parts:
                path, parts = (*path, self._entry(parts[0])), parts[1:]
                section = key.named_section
            elif key.section is not None:
                section = key.section
            elif parts:
                raise self._fault(path, f"`{show_path(path)}` is one value: give the whole of it as YAML")
            else:
                yield Given(path, self._value(key, path), self._name)
                return
        yield from self._whole(section, path)

    def _entry(self, part: str) -> str:
        return next((name for name in self._names if name.replace("-", "_") == part), part)

    def _secret_file(self, section: type[Section], path: KeyPath, rest: list[str]) -> Given:
        name = str(path[-1])
        key = find_key(section, name.removesuffix("_file"))
        if rest or not name.endswith("_file") or key is None or not key.secret:
            raise self._fault(path, unknown_key(path))
        return Given(path, self._text, self._name)

    def _whole(self, section: type[Section], path: KeyPath) -> Iterator[Given]:
        """A section as a flow mapping: each of its values, so that the file's others stay."""
        value = self._yaml(path)
        if not isinstance(value, dict):
            raise self._fault(path, "must be a mapping, such as {key: value}")
        known = {key.name: key for key in keys(section)}
        for name, inner in value.items():
            key = known.get(name)
            if key is not None and key.section is not None and isinstance(inner, dict):
                for leaf, deep in inner.items():
                    yield Given((*path, name, leaf), deep, self._name)
            else:
                yield Given((*path, name), inner, self._name)

    def _value(self, key: Key, path: KeyPath) -> Any:
        if key.text:
            return self._text
        text = self._text.strip()
        if key.listed and key.listed_section is None and not (text.startswith("[") and text.endswith("]")):
            return [part.strip() for part in text.split(",") if part.strip()]
        return self._yaml(path)

    def _yaml(self, path: KeyPath) -> Any:
        try:
            return parse(self._text).value
        except ConfigError as error:
            raise self._fault(path, error.faults[0].message) from None

    def _fault(self, path: KeyPath, message: str) -> ConfigError:
        return ConfigError([Fault(show_path(path), message, file=place(self._name))])
