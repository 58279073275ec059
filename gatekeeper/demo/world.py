"""Where people and attackers are: cities, and the lines to the internet there."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random
from typing import Final

from policies.familiar import Sighting

DAY: Final = 86_400.0
_PRIVATE_ASN: Final = 4_200_000_000  # RFC 6996
_BLOCKS: Final = (11, 21, 22, 26, 28, 29, 30, 33, 55)  # first numbers of blocks without users on the internet


@dataclass(frozen=True, slots=True)
class City:
    """``latitude`` and ``longitude`` in degrees, ``offset`` of its clock from UTC in hours."""

    name: str
    region: str
    country: str
    latitude: float
    longitude: float
    offset: int


HOMES: Final = (
    City("Zürich", "Zürich", "CH", 47.37, 8.54, 1),
    City("Bern", "Bern", "CH", 46.95, 7.45, 1),
    City("Berlin", "Berlin", "DE", 52.52, 13.40, 1),
    City("Munich", "Bavaria", "DE", 48.14, 11.58, 1),
    City("Hamburg", "Hamburg", "DE", 53.55, 9.99, 1),
    City("Vienna", "Vienna", "AT", 48.21, 16.37, 1),
    City("Paris", "Île-de-France", "FR", 48.86, 2.35, 1),
    City("Lyon", "Auvergne-Rhône-Alpes", "FR", 45.76, 4.84, 1),
    City("London", "England", "GB", 51.51, -0.13, 0),
    City("Amsterdam", "North Holland", "NL", 52.37, 4.90, 1),
    City("Madrid", "Madrid", "ES", 40.42, -3.70, 1),
    City("Warsaw", "Mazovia", "PL", 52.23, 21.01, 1),
    City("Boston", "Massachusetts", "US", 42.36, -71.06, -5),
    City("Austin", "Texas", "US", 30.27, -97.74, -6),
    City("Toronto", "Ontario", "CA", 43.65, -79.38, -5),
)
AWAY: Final = (
    City("Lisbon", "Lisbon", "PT", 38.72, -9.14, 0),
    City("Stockholm", "Stockholm", "SE", 59.33, 18.07, 1),
    City("Milan", "Lombardy", "IT", 45.46, 9.19, 1),
    City("New York", "New York", "US", 40.71, -74.01, -5),
    City("Tokyo", "Tokyo", "JP", 35.68, 139.69, 9),
    City("Singapore", "Singapore", "SG", 1.35, 103.82, 8),
    City("São Paulo", "São Paulo", "BR", -23.55, -46.63, -3),
)
DARK: Final = (
    City("Saint Petersburg", "Saint Petersburg", "RU", 59.93, 30.34, 3),
    City("Lagos", "Lagos", "NG", 6.52, 3.38, 1),
    City("Hanoi", "Hanoi", "VN", 21.03, 105.85, 7),
    City("Jakarta", "Jakarta", "ID", -6.21, 106.85, 7),
    City("Bucharest", "Bucharest", "RO", 44.43, 26.10, 2),
    City("Chișinău", "Chișinău", "MD", 47.01, 28.86, 2),
)
_COUNTRIES: Final = tuple(dict.fromkeys(city.country for city in (*HOMES, *AWAY, *DARK)))
_KINDS: Final = {"home": "Fibre", "mobile": "Mobile", "office": "Business", "hosting": "Cloud Hosting"}


@dataclass(slots=True)
class Line:
    """One line to the internet. ``lease``: seconds that an address lasts; 0: another one every time."""

    city: City
    kind: str  # a key of _KINDS
    lease: float = 30 * DAY
    _address: IPv4Address | None = field(default=None, repr=False)
    _until: float = 0.0

    @property
    def asn(self) -> int:
        """Of the provider: one a country and kind."""
        return _PRIVATE_ASN + 10 * _COUNTRIES.index(self.city.country) + list(_KINDS).index(self.kind)

    @property
    def organisation(self) -> str:
        return f"{self.city.country} {_KINDS[self.kind]}"

    def seen(self, random: Random, time: float, device: str | None, fingerprint: str | None) -> Sighting:
        """Somebody here; ``device`` is the id in the browser's cookie."""
        if self._address is None or time >= self._until:
            self._address = self._new_address(random)
            self._until = time + (random.uniform(0.5, 1.5) * self.lease if self.lease else 0.0)
        near = 0.04 if self.kind != "mobile" else 0.25
        return Sighting(
            time,
            self._address,
            country=self.city.country,
            city=self.city.name,
            latitude=round(self.city.latitude + random.uniform(-near, near), 4),
            longitude=round(self.city.longitude + random.uniform(-near, near), 4),
            accuracy_km=100.0 if self.kind == "mobile" else 20.0,
            asn=self.asn,
            as_org=self.organisation,
            device=device,
            fingerprint=fingerprint,
        )

    def _new_address(self, random: Random) -> IPv4Address:
        provider = self.asn - _PRIVATE_ASN
        block = _BLOCKS[provider % len(_BLOCKS)]
        return IPv4Address(
            block << 24 | (40 + provider // 2) % 256 << 16 | random.randrange(64) << 8 | random.randrange(1, 255)
        )
