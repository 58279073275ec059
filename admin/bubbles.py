"""The map's shapes: bubbles for places, near ones as one, in the part of the world that is looked at. Templates write
them as SVG. Called by ``admin.views.map``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from admin.charts import Slice, slices
from admin.places import Spot
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Area
from geo.centroids import centroid
from geo.projection import HEIGHT, WIDTH, project

_CELL: Final = 16.0  # places as near as this, in thousandths of the picture's width, are one bubble
_SMALLEST: Final = 7.0  # a bubble's radius, likewise
_GROWTH: Final = 21.0  # how much larger the largest is
_MARGIN: Final = 0.2  # of the part that is looked at, around it
_CLOSEST: Final = 40.0  # units of the map that are always to be seen
_ROUNDED: Final = 0.05  # degrees that a place may be off


@dataclass(frozen=True, slots=True)
class Picture:
    """The part of the map that is shown, in its units."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, area: Area | None) -> Self:
        """All of the map; or an area with some of what is around it, in the map's own proportion."""
        if area is None:
            return cls(0.0, 0.0, WIDTH, HEIGHT)
        (left, top), (right, bottom) = project(area.north, area.west), project(area.south, area.east)
        wide = max(right - left, (bottom - top) * WIDTH / HEIGHT, _CLOSEST) * (1 + 2 * _MARGIN)
        width = min(wide, WIDTH)
        height = width * HEIGHT / WIDTH
        x = min(max((left + right - width) / 2, 0.0), WIDTH - width)
        y = min(max((top + bottom - height) / 2, 0.0), HEIGHT - height)
        return cls(round(x, 2), round(y, 2), round(width, 2), round(height, 2))

    @property
    def unit(self) -> float:
        """A thousandth of its width."""
        return self.width / WIDTH

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is to be seen."""
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height


@dataclass(frozen=True, slots=True)
class Bubble:
    """One place or several near ones: where, how large (units of the map), and what came from there.

    ``area`` is what selects it; None where no more than the country is known. ``cities`` are the largest first;
    ``chosen`` says whether the filter picks any of it.
    """

    key: str
    x: float
    y: float
    radius: float
    attempts: Mapping[str, int]
    total: int
    slices: Sequence[Slice]
    area: Area | None
    country: str
    cities: Sequence[str]
    places: int
    chosen: bool


def bubbles(spots: Iterable[Spot], picture: Picture, *, area: Area | None, country: str | None) -> list[Bubble]:
    """What is to be seen, the largest first so that none hides a smaller one."""
    cells: dict[str, list[Spot]] = defaultdict(list)
    for spot in spots:
        key = key_of(spot.latitude, spot.longitude, spot.country, picture)
        if key is not None and spot.total:
            cells[key].append(spot)
    most = max((sum(spot.total for spot in cell) for cell in cells.values()), default=1)
    found = [
        _bubble(key, cell, most, picture.unit, chosen=any(_picked(spot, area, country) for spot in cell))
        for key, cell in cells.items()
    ]
    return sorted(found, key=lambda one: (-one.total, one.key))


def key_of(latitude: float | None, longitude: float | None, country: str | None, picture: Picture) -> str | None:
    """Which bubble a place is part of; None for one that is not to be seen."""
    where = _where(latitude, longitude, country)
    if where is None or not picture.holds(*where):
        return None
    if latitude is None:
        return f"c-{country}"
    side = _CELL * picture.unit
    return f"p-{int(where[0] // side)}-{int(where[1] // side)}"


def _where(latitude: float | None, longitude: float | None, country: str | None) -> tuple[float, float] | None:
    if latitude is not None and longitude is not None:
        return project(round(latitude, 1), round(longitude, 1))
    middle = centroid(country or "")
    return None if middle is None else project(*middle)


def _picked(spot: Spot, area: Area | None, country: str | None) -> bool:
    inside = area is None or area.holds(spot.latitude, spot.longitude)
    return inside and (country is None or spot.country == country)


def _bubble(key: str, cell: Sequence[Spot], most: int, unit: float, *, chosen: bool) -> Bubble:
    sums: Counter[str] = Counter()
    x = y = 0.0
    for spot in cell:
        sums.update(spot.attempts)
        at = _where(spot.latitude, spot.longitude, spot.country) or (0.0, 0.0)
        x, y = x + at[0] * spot.total, y + at[1] * spot.total
    total = sums.total()
    attempts = {str(result): sums[result] for result in Result if sums[result]}
    largest = sorted(cell, key=lambda spot: -spot.total)
    return Bubble(
        key=key,
        x=round(x / total, 2),
        y=round(y / total, 2),
        radius=round((_SMALLEST + _GROWTH * math.sqrt(total / most)) * unit, 3),
        attempts=attempts,
        total=total,
        slices=slices(attempts),
        area=_around(cell),
        country=largest[0].country,
        cities=list(dict.fromkeys(spot.city for spot in largest if spot.city)),
        places=len(cell),
        chosen=chosen,
    )


def _around(cell: Iterable[Spot]) -> Area | None:
    places = [(spot.latitude, spot.longitude) for spot in cell]
    latitudes = [latitude for latitude, _ in places if latitude is not None]
    longitudes = [longitude for _, longitude in places if longitude is not None]
    if not latitudes or not longitudes:
        return None
    return Area(
        round(min(latitudes) - _ROUNDED, 2),
        round(min(longitudes) - _ROUNDED, 2),
        round(max(latitudes) + _ROUNDED, 2),
        round(max(longitudes) + _ROUNDED, 2),
    )
