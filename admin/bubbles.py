"""The map's shapes: bubbles for places, near ones as one, in the part of the world that is looked at. Templates write
them as SVG. Called by ``admin.views.map``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Self

from admin.charts import Slice, slices
from admin.places import Spot
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Area
from geo.centroids import centroid
from geo.projection import HEIGHT, WIDTH, project

_CELL: Final = 16.0  # places as near as this, in thousandths of the picture's width, are one bubble
_MOST_BUBBLES: Final = 250
_COARSER: Final = 1.3
_SMALLEST: Final = 7.0  # a bubble's radius, likewise
_GROWTH: Final = 21.0  # how much larger the largest is
_MARGIN: Final = 0.2  # of the part that is looked at, around it
_CLOSEST: Final = 20.0  # units of the map that are always to be seen
_ROUNDED: Final = 0.05  # degrees that a place may be off


_Spot = tuple[Decimal | None, Decimal | None, str]


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
class Wedge:
    """A part of a bubble as an SVG path; dashes round a circle would be inexact where the map is looked at closely."""

    result: str
    path: str


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
    wedges: Sequence[Wedge]
    area: Area | None
    country: str
    cities: Sequence[str]
    places: int
    chosen: bool


class Layout:
    """The bubbles of ``spots`` in a picture, the largest first so that none hides a smaller one."""

    def __init__(self, spots: Iterable[Spot], picture: Picture, *, area: Area | None, country: str | None) -> None:
        cells = _fitting(_seen(spots, picture), _CELL * picture.unit)
        self._keys: dict[_Spot, str] = {
            (_tenth(spot.latitude), _tenth(spot.longitude), spot.country): key
            for key, cell in cells.items()
            for spot in cell
        }
        most = max((sum(spot.total for spot in cell) for cell in cells.values()), default=1)
        found = [
            _bubble(key, cell, most, picture.unit, chosen=any(_picked(spot, area, country) for spot in cell))
            for key, cell in cells.items()
        ]
        self.bubbles = sorted(found, key=lambda one: (-one.total, one.key))

    def key_of(self, latitude: float | None, longitude: float | None, country: str | None) -> str | None:
        """Which bubble a place is part of; None for one that is not to be seen."""
        return self._keys.get((_tenth(latitude), _tenth(longitude), country or ""))


_Seen = Sequence[tuple[Spot, tuple[float, float]]]


def _seen(spots: Iterable[Spot], picture: Picture) -> _Seen:
    """What has attempts and is within the picture, the largest first, each with where it is."""
    placed = ((spot, _where(spot.latitude, spot.longitude, spot.country)) for spot in spots if spot.total)
    found = [(spot, where) for spot, where in placed if where is not None and picture.holds(*where)]
    return sorted(found, key=lambda one: -one[0].total)


def _fitting(seen: _Seen, reach: float) -> dict[str, list[Spot]]:
    """The places of each bubble. Where there would be more bubbles than one can tell apart, or than a page should hold,
    those further apart are one too; looked at closely they come apart.
    """
    while True:
        cells = _gathered(seen, reach)
        if len(cells) <= _MOST_BUBBLES or reach > WIDTH:
            return cells
        reach *= _COARSER


def _gathered(seen: _Seen, reach: float) -> dict[str, list[Spot]]:
    """Each spot joins the nearest of the larger ones that were there before it, if it is near; by squares of the map,
    since there may be thousands.
    """
    cells: dict[str, list[Spot]] = {}
    middles: dict[tuple[int, int], list[tuple[float, float, str]]] = defaultdict(list)
    for spot, where in seen:
        square = (int(where[0] // reach), int(where[1] // reach))
        key = f"c-{spot.country}" if spot.latitude is None else _nearest(middles, square, where, reach)
        if key is None:
            key = f"p-{len(cells)}"
            middles[square].append((*where, key))
        cells.setdefault(key, []).append(spot)
    return cells


def _nearest(
    middles: Mapping[tuple[int, int], Sequence[tuple[float, float, str]]],
    square: tuple[int, int],
    where: tuple[float, float],
    reach: float,
) -> str | None:
    around = [(square[0] + right, square[1] + down) for right in (-1, 0, 1) for down in (-1, 0, 1)]
    near = [(math.dist((x, y), where), key) for one in around if one in middles for x, y, key in middles[one]]
    distance, key = min(near, default=(math.inf, None))
    return key if distance < reach else None


def _tenth(degrees: float | None) -> Decimal | None:
    """As the database rounds: halves away from zero."""
    return None if degrees is None else Decimal(repr(degrees)).quantize(Decimal("0.1"), ROUND_HALF_UP)


def _where(latitude: float | None, longitude: float | None, country: str | None) -> tuple[float, float] | None:
    if latitude is not None and longitude is not None:
        return project(latitude, longitude)
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
    x, y, radius = x / total, y / total, (_SMALLEST + _GROWTH * math.sqrt(total / most)) * unit
    attempts = {str(result): sums[result] for result in Result if sums[result]}
    largest = sorted(cell, key=lambda spot: -spot.total)
    return Bubble(
        key=key,
        x=round(x, 3),
        y=round(y, 3),
        radius=round(radius, 3),
        attempts=attempts,
        total=total,
        slices=slices(attempts),
        wedges=[_wedge(part, x, y, radius) for part in slices(attempts)] if len(attempts) > 1 else [],
        area=_around(cell),
        country=largest[0].country,
        cities=list(dict.fromkeys(spot.city for spot in largest if spot.city)),
        places=len(cell),
        chosen=chosen,
    )


def _wedge(part: Slice, x: float, y: float, radius: float) -> Wedge:
    """From the top on, clockwise."""
    angles = [math.tau * at / 100 for at in (part.start, part.start + part.part)]
    (x1, y1), (x2, y2) = [(x + radius * math.sin(angle), y - radius * math.cos(angle)) for angle in angles]
    arc = f"A{radius:.4f} {radius:.4f} 0 {int(part.part > 50)} 1 {x2:.4f} {y2:.4f}"
    return Wedge(part.value, f"M{x:.4f} {y:.4f}L{x1:.4f} {y1:.4f}{arc}Z")


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
