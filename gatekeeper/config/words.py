"""What pydantic found wrong, in words for whoever writes config.yaml. Used by ``config.load``.

No message repeats the value: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from gatekeeper.config.model import Config
from gatekeeper.config.paths import KeyPath, find_key, keys, show_path
from gatekeeper.config.section import Section

_PLAIN: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "must be text; put it in quotes if it looks like a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list, such as [one, two]",
    "dict_type": "must be a mapping of `name: value` lines",
    "model_type": "must be a mapping of `key: value` lines",
    "path_type": "must be the path of a file or folder",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def mistakes(error: ValidationError) -> Iterator[tuple[KeyPath, str]]:
    """Key path and message of every error."""
    errors = error.errors(include_url=False, include_input=False)
    unknown = [_path(found["loc"]) for found in errors if found["type"] == "extra_forbidden"]
    for found in errors:
        path = _path(found["loc"])
        misspelt = found["type"] == "missing" and any(meant(other) == path for other in unknown)
        if not misspelt:  # else that is said of the key that stands there
            yield path, _message(found["type"], found.get("ctx", {}), found["msg"], path)


def _path(loc: tuple[int | str, ...]) -> KeyPath:
    """Less the parts that are pydantic's, not the file's: "(word)" and "[key]"."""
    return tuple(part for part in loc if isinstance(part, int) or part[:1] not in {"(", "["})


def _message(kind: str, context: Mapping[str, Any], message: str, path: KeyPath) -> str:
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "value_error":
        return str(context["error"])
    if kind in {"literal_error", "enum"}:
        key = find_key(section_at(path[:-1]) or Config, str(path[-1]))
        mapping = key.choice_section if key is not None else None
        other = "" if mapping is None else f", or {{{next(keys(mapping)).name}: [...]}}"
        return f"must be {context['expected']}{other}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        return f"must be at {'least' if 'ge' in context else 'most'} {context.get('ge', context.get('le'))}"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    return _PLAIN.get(kind, message)


def meant(path: KeyPath) -> KeyPath | None:
    """The key of the same section that an unknown one was probably meant to be."""
    section = section_at(path[:-1])
    known = [] if section is None else [key.name for key in keys(section)]
    close = get_close_matches(str(path[-1]).lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return (*path[:-1], close[0]) if close else None


def unknown_key(path: KeyPath) -> str:
    """That a key is unknown, and which one was probably meant."""
    name, right = str(path[-1]), meant(path)
    if right is not None:
        return f"unknown key; did you mean `{right[-1]}`?"
    section = section_at(path[:-1])
    known = [] if section is None else list(keys(section))
    inner = [key.name for key in known if _holds(key.choice_section, name)]
    if inner:
        return f"unknown key here; did you mean `{inner[0]}: {{{name}: ...}}`?"
    everywhere = {str(place[-1]): show_path(place) for place in all_paths() if len(place) > 1}
    close = get_close_matches(name.lower(), everywhere, n=1, cutoff=0.8)
    if close:
        return f"unknown key here; did you mean `{everywhere[close[0]]}`?"
    return f"unknown key; known here: {', '.join(key.name for key in known)}" if known else "unknown key"


def _holds(section: type[Section] | None, name: str) -> bool:
    return section is not None and find_key(section, name) is not None


def section_at(path: KeyPath) -> type[Section] | None:
    """The model of the mapping at a key path; None where there is none, or where names are free."""
    section: type[Section] | None = Config
    inside: type[Section] | None = None  # of a mapping or list whose next part is a free name or a number
    for part in path:
        if inside is not None:
            section, inside = inside, None
            continue
        key = None if section is None else find_key(section, str(part))
        if key is None:
            return None
        section, inside = key.section or key.choice_section, key.named_section or key.listed_section
    if inside is not None:
        return None
    return section


def all_paths(section: type[Section] = Config, around: KeyPath = ()) -> Iterable[KeyPath]:
    """The paths of all keys in sections with fixed names."""
    for key in keys(section):
        yield (*around, key.name)
        if key.section is not None:
            yield from all_paths(key.section, (*around, key.name))
