"""Where people are and what they use: cities, networks, devices. Seeded; all randomness comes from the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from random import Random

from policies.familiar import Sighting

CITIES = {
    "Berlin": ("DE", 52.52, 13.40),
    "Hamburg": ("DE", 53.55, 9.99),
    "Munich": ("DE", 48.14, 11.58),
    "Cologne": ("DE", 50.94, 6.96),
    "Vienna": ("AT", 48.21, 16.37),
    "Zurich": ("CH", 47.38, 8.54),
    "Paris": ("FR", 48.86, 2.35),
    "Lyon": ("FR", 45.76, 4.84),
    "London": ("GB", 51.51, -0.13),
    "Manchester": ("GB", 53.48, -2.24),
    "Madrid": ("ES", 40.42, -3.70),
    "Lisbon": ("PT", 38.72, -9.14),
    "Rome": ("IT", 41.90, 12.50),
    "Warsaw": ("PL", 52.23, 21.01),
    "Stockholm": ("SE", 59.33, 18.07),
    "New York": ("US", 40.71, -74.01),
    "Chicago": ("US", 41.88, -87.63),
    "San Francisco": ("US", 37.77, -122.42),
    "Toronto": ("CA", 43.65, -79.38),
    "Tokyo": ("JP", 35.68, 139.69),
    "Singapore": ("SG", 1.35, 103.82),
    "Sydney": ("AU", -33.87, 151.21),
    "Sao Paulo": ("BR", -23.55, -46.63),
    "Nairobi": ("KE", -1.29, 36.82),
}
HOME_CITIES = tuple(CITIES)[:18]
DARK_CITIES = {"Saint Petersburg": ("RU", 59.93, 30.34), "Lagos": ("NG", 6.52, 3.38), "Hanoi": ("VN", 21.03, 105.85)}
HOSTING_ASN = 64_999  # on the list of hosting networks

_EVERYWHERE = {**CITIES, **DARK_CITIES}


@dataclass(slots=True)
class Network:
    """One line to the internet: an address that is another now and then, in an autonomous system, near a city."""

    city: str
    asn: int
    lease: float  # days that an address lasts; 0: another every time
    accuracy: float = 20.0
    wrong: str | None = None  # a city that the database takes it for
    address: IPv4Address = field(default_factory=lambda: IPv4Address("11.0.0.1"))
    until: float = 0.0

    def seen(self, random: Random, time: float, device: Device | None, *, cookie: bool = True) -> Sighting:
        """Somebody on a device here."""
        if time >= self.until:
            self.address = _address(random, self.asn)
            self.until = time + random.expovariate(1 / self.lease) * 86_400 if self.lease else time
        country, latitude, longitude = _EVERYWHERE[self.wrong or self.city]
        return Sighting(
            time,
            self.address,
            country,
            self.wrong or self.city,
            latitude + random.uniform(-0.1, 0.1),
            longitude + random.uniform(-0.1, 0.1),
            self.accuracy,
            self.asn,
            f"AS {self.asn}",
            device.cookie if device and cookie else None,
            device.fingerprint if device else None,
        )


@dataclass(slots=True)
class Device:
    """A browser: the cookie it got at its first login, and what it looks like."""

    cookie: str | None
    fingerprint: str


def new_device(random: Random) -> Device:
    """Looks like one of some hundred kinds of devices."""
    return Device(None, f"looks-{int(random.paretovariate(1.2)) % 150}")


def _address(random: Random, asn: int) -> IPv4Address:
    """One of the four /16 that each autonomous system has here."""
    address = ip_address(0x0B00_0000 + ((asn % 4096) << 18) + random.getrandbits(18))
    assert isinstance(address, IPv4Address)
    return address
