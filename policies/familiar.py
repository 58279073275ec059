"""What is usual for one user: browsers, networks, countries, places, hours of their good logins. Pure and bounded.

``Familiar`` is the profile that ``policies.anomalies`` holds a login against. It is kept as a small JSON object
(``dump``, ``load``); what has not been seen for ``REMEMBERED`` is forgotten, and of each kind only the latest are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, Final

from policies.model import Address
from policies.travel import Spot

REMEMBERED: Final = 180 * 86_400.0  # seconds
_MOST: Final = {"fingerprints": 20, "addresses": 50, "networks": 30, "countries": 30, "forgotten": 20}
_MOST_SPOTS: Final = 20
_HALF_AT: Final = 400  # logins; then the counts of hours are halved, so that habits may change
HOURS: Final = 24
_BLOCK: Final = {4: 16, 6: 32}  # bits; what providers are usually given, and move their customers about in


@dataclass(frozen=True, slots=True)
class Sighting:
    """One login, or one use of a session, as the signals see it. None: not known; degrees, km and seconds.

    ``device`` is the id in the signed cookie of a browser that has signed in to this very account before.
    """

    time: float
    address: Address
    country: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: float | None = None
    asn: int | None = None
    as_org: str | None = None
    device: str | None = None
    fingerprint: str | None = None

    @property
    def place(self) -> str:
        """The address, of IPv6 its /64: what one line to the internet has."""
        return network_of(self.address)

    @property
    def spot(self) -> Spot | None:
        """For journeys; None where the place is not known, or the address is nobody's in particular."""
        if self.latitude is None or self.longitude is None or not self.address.is_global:
            return None
        label = ", ".join(part for part in (self.city, self.country) if part)
        accuracy = self.accuracy_km if self.accuracy_km is not None else 50.0
        return Spot(self.time, self.latitude, self.longitude, accuracy, self.place, label)

    @property
    def hour(self) -> int:
        """Of the day, UTC."""
        return int(self.time // 3600) % HOURS


def network_of(address: Address) -> str:
    """The address, of IPv6 its /64."""
    if address.version == 4:
        return str(address)
    return str(ip_network((address, 64), strict=False))


def _block_of(address: Address) -> int:
    return int(address) >> (address.max_prefixlen - _BLOCK[address.version])


@dataclass(frozen=True, slots=True)
class Familiar:
    """The profile: each kind from its name to when it was seen last (Unix seconds).

    ``forgotten`` are fingerprints that somebody has said not to know any more, until the next good login by one.
    """

    logins: int = 0
    first: float = 0.0
    last: float = 0.0
    fingerprints: Mapping[str, float] = field(default_factory=dict)
    addresses: Mapping[str, float] = field(default_factory=dict)
    networks: Mapping[str, float] = field(default_factory=dict)
    countries: Mapping[str, float] = field(default_factory=dict)
    forgotten: Mapping[str, float] = field(default_factory=dict)
    spots: tuple[Spot, ...] = ()
    hours: tuple[int, ...] = (0,) * HOURS

    def with_login(self, seen: Sighting) -> Familiar:
        """As it is once this login was good."""
        hours = [count // 2 for count in self.hours] if sum(self.hours) >= _HALF_AT else list(self.hours)
        hours[seen.hour] += 1
        spot = seen.spot
        return replace(
            self,
            logins=self.logins + 1,
            first=self.first or seen.time,
            last=max(self.last, seen.time),
            fingerprints=_with("fingerprints", self.fingerprints, seen.fingerprint, seen.time),
            addresses=_with("addresses", self.addresses, seen.place, seen.time),
            networks=_with("networks", self.networks, None if seen.asn is None else str(seen.asn), seen.time),
            countries=_with("countries", self.countries, seen.country, seen.time),
            forgotten=_without(self.forgotten, seen.fingerprint),
            spots=(*self.spots, spot)[-_MOST_SPOTS:] if spot else self.spots,
            hours=tuple(hours),
        )

    def with_use(self, seen: Sighting) -> Familiar:
        """As it is once a session was used there: the place is usual now, everything else is as it was."""
        return replace(
            self,
            addresses=_with("addresses", self.addresses, seen.place, seen.time),
            networks=_with("networks", self.networks, None if seen.asn is None else str(seen.asn), seen.time),
            countries=_with("countries", self.countries, seen.country, seen.time),
        )

    def trusting(self, seen: Sighting) -> Familiar:
        """As it is once somebody has said that this browser and this place are the user's own."""
        used = self.with_use(seen)
        return replace(
            used,
            fingerprints=_with("fingerprints", self.fingerprints, seen.fingerprint, seen.time),
            forgotten=_without(self.forgotten, seen.fingerprint),
        )

    def trusting_device(self, fingerprint: str, time: float) -> Familiar:
        """The same of a browser alone."""
        return replace(
            self,
            fingerprints=_with("fingerprints", self.fingerprints, fingerprint, time),
            forgotten=_without(self.forgotten, fingerprint),
        )

    def forgetting_device(self, fingerprint: str, time: float) -> Familiar:
        """As it is once somebody has said that this browser is not the user's: its next login is that of a new one."""
        return replace(
            self,
            fingerprints=_without(self.fingerprints, fingerprint),
            forgotten=_with("forgotten", self.forgotten, fingerprint, time),
        )

    def has_way(self, seen: Sighting) -> bool:
        """Whether the address, its autonomous system or, where that is not known, its block is usual for the user."""
        if seen.place in self.addresses:
            return True
        if seen.asn is not None:
            return str(seen.asn) in self.networks
        return seen.country in self.countries and self._has_block(seen.address)

    def _has_block(self, address: Address) -> bool:
        """Whether a usual address is in the same /16 (IPv6: /32). Private and reserved ones are nobody's block."""
        if not address.is_global:
            return False
        block = _block_of(address)
        usual = (ip_address(place.partition("/")[0]) for place in self.addresses)
        return any(one.version == address.version and _block_of(one) == block for one in usual)

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "logins": self.logins,
            "first": self.first,
            "last": self.last,
            **{kind: dict(getattr(self, kind)) for kind in _MOST},
            "spots": [
                [spot.time, spot.latitude, spot.longitude, spot.accuracy_km, spot.where, spot.label]
                for spot in self.spots
            ],
            "hours": list(self.hours),
        }

    @classmethod
    def load(cls, record: Mapping[str, Any]) -> Familiar:
        """The inverse of ``dump``; what another version has written and this one cannot read is not familiar."""
        try:
            record = {"forgotten": {}, **record}  # profiles from before have none
            kinds = {kind: {str(key): float(at) for key, at in record[kind].items()} for kind in _MOST}
            hours = tuple(int(count) for count in record["hours"])
            return cls(
                logins=int(record["logins"]),
                first=float(record["first"]),
                last=float(record["last"]),
                spots=tuple(_spot(*parts) for parts in record["spots"]),
                hours=hours if len(hours) == HOURS else (0,) * HOURS,
                **kinds,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()


def _spot(time: float, latitude: float, longitude: float, accuracy_km: float, where: str, label: str) -> Spot:
    return Spot(float(time), float(latitude), float(longitude), float(accuracy_km), str(where), str(label))


def _with(kind: str, seen: Mapping[str, float], name: str | None, time: float) -> dict[str, float]:
    kept = {key: at for key, at in seen.items() if at > time - REMEMBERED and key != name}
    if name is not None:
        kept[name] = time
    latest = sorted(kept, key=kept.__getitem__)[-_MOST[kind] :]
    return {key: kept[key] for key in latest}


def _without(seen: Mapping[str, float], name: str | None) -> dict[str, float]:
    return {key: at for key, at in seen.items() if key != name}
