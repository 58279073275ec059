"""Where latitudes and longitudes are on the panel's map: Gall's stereographic projection, north up, Greenwich in the
middle. Used by ``admin.bubbles``; admin/frontend/build/world.js draws the outlines by the same figures.

It is cylindrical, so that a rectangle on the map is one of latitudes and longitudes too.
"""

from __future__ import annotations

import math
from typing import Final

WIDTH: Final = 1000.0
NORTH: Final = 84.0  # degrees: the edges of the map
SOUTH: Final = -57.0
SCALE: Final = WIDTH / math.tau
_STRETCH: Final = 1 + math.sqrt(2)


def _down(latitude: float) -> float:
    return _STRETCH * math.tan(math.radians(latitude) / 2) * SCALE


TOP: Final = _down(NORTH)
HEIGHT: Final = float(round(TOP - _down(SOUTH)))


def project(latitude: float, longitude: float) -> tuple[float, float]:
    """x from 0 to WIDTH and y from 0 to HEIGHT of a place in degrees (WGS 84); beyond an edge is at the edge."""
    y = TOP - _down(min(max(latitude, SOUTH), NORTH))
    return (min(max(longitude, -180.0), 180.0) + 180) / 360 * WIDTH, min(max(y, 0.0), HEIGHT)


def unproject(x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude (degrees) of a point of the map."""
    return math.degrees(2 * math.atan((TOP - y) / SCALE / _STRETCH)), x / WIDTH * 360 - 180
