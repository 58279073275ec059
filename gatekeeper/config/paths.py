"""Key paths of a configuration and what stands at them, read off the models. Used throughout ``gatekeeper.config``."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gatekeeper.config.section import Section

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A field of a section: its name in config.yaml and its model's ``FieldInfo``."""

    name: str
    attribute: str
    field: FieldInfo

    @property
    def section(self) -> type[Section] | None:
        """The model of the mapping that stands here, if one does."""
        found = self.field.annotation
        return found if isinstance(found, type) and issubclass(found, Section) else None

    @property
    def choice_section(self) -> type[Section] | None:
        """The model of the mapping that may stand here instead of a word (allow)."""
        members = _members(self.field.annotation)
        found = [member for member in members if isinstance(member, type) and issubclass(member, Section)]
        return found[0] if found and len(members) > 1 else None

    @property
    def named_section(self) -> type[Section] | None:
        """The model of each value, where names of the operator's choice stand here (upstreams)."""
        return _section_within(self.field.annotation, dict)

    @property
    def listed_section(self) -> type[Section] | None:
        """The model of each element of a list of mappings (rules)."""
        return _section_within(self.field.annotation, list)

    @property
    def secret(self) -> bool:
        """Whether the value is a secret, which may be given as ``NAME_file`` too."""
        return SecretStr in _members(self.field.annotation)

    @property
    def text(self) -> bool:
        """Whether any text is a value: from the environment it is taken as it stands."""
        members = [member for member in _members(self.field.annotation) if member is not type(None)]
        return all(member in {str, SecretStr, Path} for member in members)

    @property
    def listed(self) -> bool:
        """Whether a list of plain values stands here."""
        return any(get_origin(member) is list for member in _members(self.field.annotation))

    @property
    def description(self) -> str:
        """What the key means, as one line."""
        section = self.section
        return self.field.description or (section.__doc__ if section is not None else "") or ""


def keys(section: type[Section]) -> Iterator[Key]:
    """The keys of a section in the order of the file."""
    for attribute, field in section.model_fields.items():
        yield Key(field.alias or attribute, attribute, field)


def find_key(section: type[Section], name: str) -> Key | None:
    """The key of that name in config.yaml."""
    return next((key for key in keys(section) if key.name == name), None)


def show_path(path: KeyPath) -> str:
    """``("rules", 2, "path")`` as ``rules[2].path``."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else (f".{part}" if shown else part)
    return shown


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, each without its metadata; anything else as the only one."""
    members = get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)
    return tuple(get_args(member)[0] if get_origin(member) is Annotated else member for member in members)


def _section_within(annotation: Any, container: type) -> type[Section] | None:
    if get_origin(annotation) is not container:
        return None
    inner = get_args(annotation)[-1]
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None
