"""The configuration in force: secrets masked, each value with its source. Called by ``gatekeeper config show`` and
``config.listing``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import SecretStr

from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED, Config
from gatekeeper.config.paths import Key, KeyPath, keys, show_path
from gatekeeper.config.section import Section
from gatekeeper.config.template import flow, written_rule

MASK: Final = "***"

#: Only what fits this as a whole is shown in part: with an odd character in it, a password could hide anywhere.
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z]{4,10}://)(?:(?P<user>[A-Za-z0-9_.-]*)(?P<password>:[^@/?#\s]*)?@)?"
    r"(?P<place>[A-Za-z0-9_.-]*(?::[0-9]{1,5})?(?:/[A-Za-z0-9_./-]*)?)(?P<query>\?\S*)?"
)


def mask(secret: str) -> str:
    """A secret as it may be shown: ``embedded``, an address without its password, or asterisks."""
    if secret == EMBEDDED:
        return secret
    address = _ADDRESS.fullmatch(secret)
    if address is None:
        return MASK
    user = "" if address["user"] is None else address["user"]
    password = "" if address["password"] is None else f":{MASK}"
    at = "" if address["user"] is None else "@"
    query = "" if address["query"] is None else f"?{MASK}"
    return f"{address['scheme']}{user}{password}{at}{address['place']}{query}"


def as_data(loaded: LoadedConfig) -> dict[str, Any]:
    """``{"file", "config", "sources"}``: the values as they are written, and the source of each by key path."""
    values = masked(loaded.config)
    sources = {show_path(path): loaded.source_of(path) for path, _ in _leaves(loaded, values)}
    return {"file": None if loaded.file is None else str(loaded.file), "config": values, "sources": sources}


def as_yaml(loaded: LoadedConfig) -> str:
    """The same as YAML that the gate would read again (less the masked secrets), sources as comments."""
    values = masked(loaded.config)
    lines: list[tuple[str, str]] = []
    for key in keys(type(loaded.config)):
        lines += _lines(key, values[key.name], (key.name,), loaded)
    width = min(max(len(line) for line, _ in lines), 60)
    return "".join(f"{line:<{width}}  # {source}\n" if source else f"{line}\n" for line, source in lines)


def masked(config: Config) -> dict[str, Any]:
    """The values as they are written, secrets masked."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    _mask_within(config, values)
    values["rules"] = [written_rule(rule) for rule in values["rules"]]
    return values


def _mask_within(section: Section, values: dict[str, Any]) -> None:
    for key in keys(type(section)):
        value = getattr(section, key.attribute)
        if isinstance(value, SecretStr):
            values[key.name] = mask(value.get_secret_value())
        elif isinstance(value, Section):
            _mask_within(value, values[key.name])
        elif key.listed_section is not None:
            for element, shown in zip(value, values[key.name], strict=True):
                _mask_within(element, shown)


def _lines(key: Key, value: Any, path: KeyPath, loaded: LoadedConfig) -> Iterator[tuple[str, str]]:
    indent = "  " * (len(path) - 1)
    section = key.section
    if section is not None:
        yield f"{indent}{key.name}:", ""
        for inner in keys(section):
            yield from _lines(inner, value[inner.name], (*path, inner.name), loaded)
    elif key.named_section is not None:
        yield f"{indent}{key.name}:", ""
        for name, entry in value.items():
            yield f"{indent}  {name}:", ""
            for inner in keys(key.named_section):
                yield from _lines(inner, entry[inner.name], (*path, name, inner.name), loaded)
    elif key.listed_section is not None and value:
        yield f"{indent}{key.name}:", ""
        for index, element in enumerate(value):
            yield f"{indent}  - {flow(element)}", loaded.source_of((*path, index))
    else:
        yield f"{indent}{key.name}: {flow(value)}", loaded.source_of(path)


def _leaves(loaded: LoadedConfig, values: dict[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    for key in keys(type(loaded.config)):
        value = values[key.name]
        if key.section is not None:
            yield from _within(key.section, value, (key.name,))
        elif key.named_section is not None:
            for name, entry in value.items():
                yield from _within(key.named_section, entry, (key.name, name))
        elif key.listed_section is not None:
            yield from (((key.name, index), element) for index, element in enumerate(value))
        else:
            yield (key.name,), value


def _within(section: type[Section], values: dict[str, Any], around: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key in keys(section):
        if key.section is not None:
            yield from _within(key.section, values[key.name], (*around, key.name))
        else:
            yield (*around, key.name), values[key.name]
