"""What a change made different, for people: named values before and after, lists by what came and went.

Pure. Used by the templates of the audit log through ``lines``; ``admin.wording`` has the words for single values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from admin.wording import facts

WHY: Final = "why"
_BETWEEN: Final = " › "  # the mark of a path, as in crumbs
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")  # a reload notes rules and upstreams by these


@dataclass(frozen=True, slots=True)
class Value:
    """One side of a difference: its text, or the moment (Unix seconds) that it stands for."""

    text: str
    moment: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A difference. ``gone`` was there before, ``came`` is there now; ``same`` is how much of a list stayed.

    ``said`` stands instead of values that say nothing to people, such as digests.
    """

    name: str
    gone: tuple[Value, ...] = ()
    came: tuple[Value, ...] = ()
    same: int = 0
    said: str | None = None


def lines(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Line]:
    """All differences, in the order in which they were written; the reason is not one (``why``)."""
    return [line for line in _of_mappings((), before or {}, after or {}) if line.name != WHY]


def why(after: Mapping[str, Any] | None) -> str | None:
    """The reason that whoever made the change gave."""
    said = (after or {}).get(WHY)
    return said if isinstance(said, str) and said else None


def _of_mappings(path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Line]:
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in old:
            yield from _one_sided((*path, name), new[name], came=True)
        elif name not in new:
            yield from _one_sided((*path, name), old[name], came=False)
        elif old[name] != new[name]:
            yield from _differing((*path, name), old[name], new[name])


def _one_sided(path: tuple[str, ...], value: Any, *, came: bool) -> Iterator[Line]:
    """Something that is only there before, or only after."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _one_sided((*path, name), inner, came=came)
        return
    values = tuple(map(_value, value)) if _is_plain_list(value) and value else (_value(value),)
    yield Line(_name(path), came=values) if came else Line(_name(path), gone=values)


def _differing(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Line]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _of_mappings(path, old, new)
    elif _is_named_list(old) and _is_named_list(new):
        yield from _of_named(path, old, new)
    elif _is_plain_list(old) and _is_plain_list(new):
        gone, came = [one for one in old if one not in new], [one for one in new if one not in old]
        if not gone and not came:
            yield Line(_name(path), said="in another order")
            return
        yield Line(_name(path), tuple(map(_value, gone)), tuple(map(_value, came)), len(old) - len(gone))
    elif _is_digest(old) and _is_digest(new):
        yield Line(_name(path), said="changed")
    else:
        yield Line(_name(path), (_value(old),), (_value(new),))


def _of_named(
    path: tuple[str, ...], old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[Line]:
    """Lists of things that have names, such as rules."""
    before, after = ({str(one["name"]): one for one in those} for those in (old, new))
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after:
            yield Line(_name((*path, name)), said="removed")
        elif name not in before:
            yield Line(_name((*path, name)), said="added")
        elif before[name] != after[name]:
            yield Line(_name((*path, name)), said="changed")
    stayed = [name for name in before if name in after]
    if stayed != [name for name in after if name in before]:
        yield Line(_name(path), said="in another order")


def _value(value: Any) -> Value:
    if isinstance(value, str) and _TIME.fullmatch(value):
        with suppress(ValueError):  # it only looks like one
            return Value(value, datetime.fromisoformat(value).timestamp())
    return Value(facts(value))


def _name(path: tuple[str, ...]) -> str:
    return _BETWEEN.join(part.replace("_", " ") for part in path)


def _is_named_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in value
    )


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(one, Mapping | list) for one in value)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
