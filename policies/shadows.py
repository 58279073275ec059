"""Rules that can never decide, because an earlier one takes all that they match. Used by ``policies.load``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.rules import PathPattern, Rule
from policies.sources import RuleFault

_MOST_A_PLACE: Final = 200  # rules remembered for one beginning, so that the search stays linear; sound, not complete


@dataclass(slots=True)
class _Place:
    """The rules whose paths begin literally with the segments that lead here."""

    children: dict[str, _Place] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def add(self, rule: Rule, pattern: PathPattern) -> None:
        place = self
        for segment in pattern.literal_segments:
            place = place.children.setdefault(segment, _Place())
        if len(place.rules) < _MOST_A_PLACE and rule not in place.rules[-1:]:
            place.rules.append(rule)

    def towards(self, pattern: PathPattern) -> Iterator[Rule]:
        """All that could cover a pattern: what begins as it does, or less far."""
        place: _Place | None = self
        for segment in pattern.literal_segments:
            if place is None:
                return
            yield from place.rules
            place = place.children.get(segment)
        if place is not None:
            yield from place.rules


def unreachable(rules: Sequence[Rule]) -> Iterator[RuleFault]:
    """A fault for each rule that an earlier one shadows as a whole."""
    root = _Place()
    for rule in rules:
        # What covers all paths of the rule covers the first.
        shadow = _first(earlier for earlier in root.towards(rule.paths[0]) if earlier.covers(rule))
        if shadow is not None:
            where = f" (line {shadow.line})" if shadow.line else ""
            message = f"never decides: rule {shadow.name!r}{where} comes first and matches all that this one does"
            yield RuleFault(rule.position, "path", message)
        for pattern in () if rule.report_only else rule.paths:
            root.add(rule, pattern)


def _first(rules: Iterable[Rule]) -> Rule | None:
    return min(rules, key=lambda rule: rule.position, default=None)
