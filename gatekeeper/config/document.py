"""YAML with the line of every value. Called by ``config.load`` for the file and by ``config.environment`` for values.

Narrower than YAML 1.1: plain data only (no tags), no doubled keys, aliases that cannot grow without bound, and
only ``true``/``false``, ``null`` and decimal numbers are more than text: ``NO`` is a country, ``22:30`` a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from gatekeeper.config.paths import KeyPath, show_path
from gatekeeper.errors import ConfigError, Fault

MAX_BYTES: Final = 10 << 20
MAX_VALUES: Final = 1_000_000
MAX_DEPTH: Final = 32

_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
#: libyaml where PyYAML was built with it (ten times as fast); both give the same events.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and, for each key path in it, the line (from 1) where it stands."""

    value: Any = field(repr=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line_of(self, path: KeyPath) -> int | None:
        """The line of the value or, where it is absent, of the nearest mapping around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def parse(text: str, file: str | None = None) -> Document:
    """One YAML document. Raises ConfigError, with the line."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError([Fault("", f"is larger than {MAX_BYTES >> 20} MiB", file=file)])
    composer = _Composer(file)
    try:
        events = yaml.parse(text, Loader=_LOADER)
        document = composer.document(events)
    except yaml.YAMLError as fault:
        raise ConfigError([_syntax(fault, text, file)]) from None
    if composer.faults:
        raise ConfigError(composer.faults)
    return document


def _syntax(fault: yaml.YAMLError, text: str, file: str | None) -> Fault:
    mark = getattr(fault, "problem_mark", None) or getattr(fault, "context_mark", None)
    problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or "not YAML"
    context = getattr(fault, "context", None)
    words = f"this is not YAML: {problem}" + (f" ({context})" if context else "")
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and re.match(r" *\t", lines[mark.line]):
        words += "; indent with blanks, not with tabs"
    return Fault("", " ".join(words.split()), line=None if mark is None else mark.line + 1, file=file)


class _Composer:
    """Events to data. Doubled keys are collected; what makes going on senseless is raised."""

    def __init__(self, file: str | None) -> None:
        self.faults: list[Fault] = []
        self._file = file
        self._lines: dict[KeyPath, int] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0

    def document(self, events: Iterator[yaml.Event]) -> Document:
        value: Any = None
        seen = False
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    raise self._stop("one document is enough: take the second `---` out", event)
                seen = True
                value = self._compose(next(events), events, ())
        return Document(value, self._lines)

    def _compose(self, event: Any, events: Iterator[Any], path: KeyPath) -> Any:
        self._lines.setdefault(path, _line(event))
        self._count(1, event, path)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag not in {None, "!"}:  # "!" is what libyaml says of a quoted text
            raise self._stop(f"tags such as {event.tag[:40]} are not understood", event, path)
        before = self._values
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style else _scalar(event.value)
        elif len(path) >= MAX_DEPTH:
            raise self._stop("is nested too deeply", event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(events, path)
        else:
            value = self._mapping(events, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before + 1)
        return value

    def _alias(self, event: Any, path: KeyPath) -> Any:
        # An anchor is known once its value is complete, so none can hold itself.
        if event.anchor not in self._anchors:
            raise self._stop(f"*{event.anchor} names nothing that stands before it", event, path)
        value, size = self._anchors[event.anchor]
        self._count(size, event, path)
        return value

    def _sequence(self, events: Iterator[Any], path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._compose(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag not in {None, "!"}:
                raise self._stop("a key must be plain text", event, path)
            key = event.value
            inner = (*path, key)
            doubled = key in mapping
            if doubled:
                words = f"stands here twice, first in line {self._lines[inner]}"
                self.faults.append(Fault(show_path(inner), words, _line(event), self._file))
            self._lines.setdefault(inner, _line(event))
            value = self._compose(next(events), events, inner)
            if not doubled:
                mapping[key] = value
        return mapping

    def _count(self, more: int, event: Any, path: KeyPath) -> None:
        self._values += more
        if self._values > MAX_VALUES:
            raise self._stop(f"more than {MAX_VALUES} values, aliases counted out", event, path)

    def _stop(self, words: str, event: Any, path: KeyPath = ()) -> ConfigError:
        return ConfigError([*self.faults, Fault(show_path(path), words, _line(event), self._file)])


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
