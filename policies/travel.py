"""Impossible travel: could the same person have been at both places? And is a place near a usual one? Used by
``policies.anomalies``.

Unknown and imprecise places cannot be judged and never count against anybody; neither does the same address.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_EARTH: Final = 6371.0088  # km, mean radius (IUGG)
_SHORTEST: Final = 60.0  # seconds; clocks and two logins at once must not make a speed without end


@dataclass(frozen=True, slots=True)
class Spot:
    """A login that has a place: degrees (WGS 84), ``accuracy_km`` around them, Unix seconds, address or network."""

    time: float
    latitude: float
    longitude: float
    accuracy_km: float
    where: str
    label: str = ""  # such as "Paris, FR"; what evidence shows


@dataclass(frozen=True, slots=True)
class Limits:
    """``speed`` in km/h; ``tolerance`` in km is taken off each distance, for databases are not exact. Within
    ``nearby`` km of a usual place somebody is where they always are.
    """

    speed: float = 1000.0
    tolerance: float = 200.0
    vaguest: float = 500.0  # km; a place less exact than this says nothing
    window: float = 14 * 86_400.0  # seconds in which journeys are looked at
    nearby: float = 100.0
    exact: float = 200.0  # km; of a place less exact than this nobody can say that it is nearby


@dataclass(frozen=True, slots=True)
class Journey:
    """The least possible of the journeys: kilometres, hours, km/h."""

    start: Spot
    end: Spot
    km: float
    hours: float

    @property
    def speed(self) -> float:
        return self.km / self.hours


def distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Kilometres along a great circle (haversine)."""
    first, second = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((second - first) / 2) ** 2
    half += math.cos(first) * math.cos(second) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(half)))


def impossible(now: Spot, before: Iterable[Spot], limits: Limits) -> Journey | None:
    """The fastest of the journeys from all recent places to this one, if nobody travels as fast."""
    if now.accuracy_km > limits.vaguest:
        return None
    worst: Journey | None = None
    for spot in before:
        if spot.where == now.where or spot.accuracy_km > limits.vaguest or abs(now.time - spot.time) > limits.window:
            continue
        km = distance(spot.latitude, spot.longitude, now.latitude, now.longitude)
        km -= limits.tolerance + spot.accuracy_km + now.accuracy_km
        hours = max(abs(now.time - spot.time), _SHORTEST) / 3600
        if km > 0 and km / hours > limits.speed and (worst is None or km / hours > worst.speed):
            worst = Journey(spot, now, km, hours)
    return worst


def nearby(now: Spot, usual: Iterable[Spot], limits: Limits) -> float | None:
    """Kilometres to the nearest usual place, if that is nearby and both are exact enough to say so."""
    exact = [spot for spot in usual if spot.accuracy_km <= limits.exact]
    if now.accuracy_km > limits.exact or not exact:
        return None
    km = min(distance(spot.latitude, spot.longitude, now.latitude, now.longitude) for spot in exact)
    return km if km <= limits.nearby else None
