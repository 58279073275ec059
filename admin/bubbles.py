"""The map's shapes: bubbles for places, near ones as one, in the part of the world that is looked at. Templates write
them as SVG. Called by ``admin.views.map``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple, Self

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


_Place = tuple[int | None, int | None, str]  # tenths of a degree, and a country


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
        self._keys = {_key(dot.spot): key for key, cell in cells.items() for dot in cell}
        most = max((sum(dot.total for dot in cell) for cell in cells.values()), default=1)
        everything = area is None and country is None
        found = [
            _bubble(
                key,
                cell,
                most,
                picture.unit,
                chosen=everything or any(_picked(dot.spot, area, country) for dot in cell),
            )
            for key, cell in cells.items()
        ]
        self.bubbles = sorted(found, key=lambda one: (-one.total, one.key))

    def key_of(self, latitude: float | None, longitude: float | None, country: str | None) -> str | None:
        """Which bubble a place is part of; None for one that is not to be seen."""
        return self._keys.get((_tenth(latitude), _tenth(longitude), country or ""))


class _Dot(NamedTuple):
    """A place with attempts, and where it is on the map."""

    spot: Spot
    total: int
    x: float
    y: float


_Cell = list[_Dot]  # its middle first


def _seen(spots: Iterable[Spot], picture: Picture) -> list[_Dot]:
    """What has attempts and is within the picture, the largest first."""
    found = []
    for spot in spots:
        total, where = spot.total, _where(spot)
        if total and where is not None and picture.holds(*where):
            found.append(_Dot(spot, total, *where))
    found.sort(key=lambda dot: -dot.total)
    return found


def _fitting(seen: Sequence[_Dot], reach: float) -> dict[str, _Cell]:
    """The places of each bubble. Where there would be more bubbles than one can tell apart, or than a page should hold,
    those further apart are one too; looked at closely they come apart.
    """
    vague: dict[str, _Cell] = {}
    for dot in seen:
        if dot.spot.latitude is None:
            vague.setdefault(f"c-{dot.spot.country}", []).append(dot)
    cells = _gathered([[dot] for dot in seen if dot.spot.latitude is not None], reach)
    while len(cells) + len(vague) > _MOST_BUBBLES and reach <= WIDTH:
        reach *= _COARSER
        cells = _gathered(sorted(cells, key=lambda cell: -sum(dot.total for dot in cell)), reach)
    return {**{f"p-{number}": cell for number, cell in enumerate(cells)}, **vague}


def _gathered(cells: Iterable[_Cell], reach: float) -> list[_Cell]:
    """Each joins the nearest of the larger ones that were there before it, if it is near; by squares of the map, since
    there may be thousands.
    """
    found: list[_Cell] = []
    squares: dict[tuple[int, int], list[_Cell]] = {}
    for cell in cells:
        middle = cell[0]
        column, row = int(middle.x // reach), int(middle.y // reach)
        near = _nearest(squares, column, row, middle, reach)
        if near is None:
            squares.setdefault((column, row), []).append(cell)
            found.append(cell)
        else:
            near.extend(cell)
    return found


def _nearest(
    squares: Mapping[tuple[int, int], Sequence[_Cell]], column: int, row: int, middle: _Dot, reach: float
) -> _Cell | None:
    nearest, least = None, reach * reach
    for right in (column - 1, column, column + 1):
        for down in (row - 1, row, row + 1):
            for cell in squares.get((right, down), ()):
                across, along = cell[0].x - middle.x, cell[0].y - middle.y
                if (distance := across * across + along * along) < least:
                    nearest, least = cell, distance
    return nearest


def _key(spot: Spot) -> _Place:
    """Its tenths are exact already."""
    if spot.latitude is None or spot.longitude is None:
        return None, None, spot.country
    return round(spot.latitude * 10), round(spot.longitude * 10), spot.country


def _tenth(degrees: float | None) -> int | None:
    """As the database rounds: halves away from zero."""
    return None if degrees is None else int((Decimal(repr(degrees)) * 10).quantize(Decimal(1), ROUND_HALF_UP))


def _where(spot: Spot) -> tuple[float, float] | None:
    if spot.latitude is not None and spot.longitude is not None:
        return project(spot.latitude, spot.longitude)
    middle = centroid(spot.country)
    return None if middle is None else project(*middle)


def _picked(spot: Spot, area: Area | None, country: str | None) -> bool:
    inside = area is None or area.holds(spot.latitude, spot.longitude)
    return inside and (country is None or spot.country == country)


def _bubble(key: str, cell: _Cell, most: int, unit: float, *, chosen: bool) -> Bubble:
    sums: Counter[str] = Counter()
    x = y = 0.0
    for dot in cell:
        for result, many in dot.spot.attempts.items():
            sums[result] += many
        x, y = x + dot.x * dot.total, y + dot.y * dot.total
    total = sums.total()
    x, y, radius = x / total, y / total, (_SMALLEST + _GROWTH * math.sqrt(total / most)) * unit
    attempts = {str(result): sums[result] for result in Result if sums[result]}
    largest = [dot.spot for dot in sorted(cell, key=lambda dot: -dot.total)]
    return Bubble(
        key=key,
        x=round(x, 3),
        y=round(y, 3),
        radius=round(radius, 3),
        attempts=attempts,
        total=total,
        slices=slices(attempts),
        wedges=[_wedge(part, x, y, radius) for part in slices(attempts)] if len(attempts) > 1 else [],
        area=_around(largest),
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
