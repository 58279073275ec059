"""Places: which country, region and city an address is in. Read by the gate, the login log and the panel.

``PlaceFinder`` reads an mmdb file through maxminddb's C extension. Two schemas are understood, record by record:
MaxMind's nested one (``country.iso_code``, ``location.latitude``) and the flat one of freely licensed databases
(``country_code``, ``latitude``). Looking up never raises and never waits.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from importlib import resources
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Final, Self

import maxminddb

Address = IPv4Address | IPv6Address

BUNDLED: Final = "bundled"
_BUNDLED_FILE: Final = "iptoasn-country.mmdb"
_SAMPLE: Final = 500  # records
_CACHE_SIZE: Final = 16_384
_LONGEST_NAME: Final = 200  # characters of a region or city; a database is input too
_ATTRIBUTIONS: Final = (
    ("dbip", "IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0)"),
    ("db-ip", "IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0)"),
    ("geolite2", "This product includes GeoLite2 data created by MaxMind, https://www.maxmind.com"),
    ("iptoasn", "IP to country data by https://iptoasn.com (PDDL 1.0, public domain)"),
)


class DatabaseError(Exception):
    """The database file cannot be used; ``str()`` is one line that names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is, as far as the database knows.

    ``country`` is ISO 3166-1 alpha-2 in capitals, ``latitude`` and ``longitude`` are degrees (WGS 84),
    ``accuracy_km`` is the radius the database gives for them, ``asn`` and
    ``as_org`` number and holder of the autonomous system.
    """

    country: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: float | None = None
    asn: int | None = None
    as_org: str | None = None


class Database:
    """One open file. Trusted as the configuration is: of damage, only what shows in its metadata and its search tree
    is found; maxminddb's extension (3.2) has been seen to crash on damaged records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader, self._stamp = _open(path)
        self._positions: bool | None = None

    @property
    def kind(self) -> str:
        """What it says it is, such as ``GeoLite2-City``."""
        return self._reader.metadata().database_type

    @property
    def built(self) -> date:
        """The day (UTC) on which it was built."""
        return datetime.fromtimestamp(self._reader.metadata().build_epoch, tz=UTC).date()

    @property
    def attribution(self) -> str | None:
        """The line that its licence wants shown beside its data; None for a database of unknown origin."""
        names = f"{self.kind} {self.path.name}".lower()
        return next((line for mark, line in _ATTRIBUTIONS if mark in names), None)

    def covers(self) -> frozenset[str]:
        """Which fields of ``Place`` its first records fill."""
        known: set[str] = set()
        for _, record in islice(self._reader, _SAMPLE):
            place = _place_of(record) if isinstance(record, Mapping) else None
            if place is not None:
                known.update(name for name in _FIELDS if getattr(place, name) is not None)
        return frozenset(known)

    @property
    def positions(self) -> bool:
        """Whether it knows where in a country an address is."""
        if self._positions is None:
            self._positions = "latitude" in self.covers()
        return self._positions

    def record(self, address: Address) -> Mapping[str, object] | None:
        """What it has of an address."""
        try:
            record = self._reader.get(address)
        except (maxminddb.InvalidDatabaseError, ValueError):  # a damaged tree, or IPv6 in an IPv4 database
            return None
        return record if isinstance(record, Mapping) else None

    def reload_if_changed(self) -> bool:
        """Open the file anew if another stands at its path; True if so. The old one stays in use on DatabaseError."""
        if _stamp(self.path) == self._stamp:
            return False
        self._reader, self._stamp = _open(self.path)
        self._positions = None
        return True

    def close(self) -> None:
        """Give the file back."""
        self._reader.close()


class PlaceFinder:
    """Open databases with a bounded memory of their latest answers. One per process; not for several threads.

    The second one, where there is one, only adds the autonomous system that an address belongs to.
    """

    def __init__(self, path: Path, asn_path: Path | None = None, *, cache_size: int = _CACHE_SIZE) -> None:
        self.places = Database(path)
        self.networks = Database(asn_path) if asn_path is not None else None
        self._cache_size = cache_size
        self._cache: OrderedDict[Address, Place | None] = OrderedDict()

    @classmethod
    def open(cls, path: str | os.PathLike[str], asn_path: str | os.PathLike[str] | None = None) -> Self:
        """The database at ``path``, or the ``bundled`` one, and that of networks. Raises DatabaseError."""
        networks = Path(asn_path) if asn_path is not None else None
        if path != BUNDLED:
            return cls(Path(path), networks)
        with resources.as_file(resources.files("geo") / "data" / _BUNDLED_FILE) as found:
            return cls(found, networks)

    @classmethod
    def bundled(cls) -> Self:
        """The country database that is part of the distribution (see geo/data/README.md)."""
        return cls.open(BUNDLED)

    def find(self, address: Address | str) -> Place | None:
        """The place of ``address``; None where it is unknown, private or not an address at all."""
        if isinstance(address, str):
            try:
                address = ip_address(address)
            except ValueError:
                return None
        cache = self._cache
        try:
            place = cache[address]
        except KeyError:
            place = cache[address] = self._look_up(address)
            if len(cache) > self._cache_size:
                cache.popitem(last=False)
            return place
        cache.move_to_end(address)
        return place

    def country(self, address: Address) -> str | None:
        """The country of ``address`` (ISO 3166-1 alpha-2); None where it is unknown."""
        place = self.find(address)
        return None if place is None else place.country

    @property
    def database_date(self) -> date:
        """The day (UTC) on which the database of places was built."""
        return self.places.built

    @property
    def attribution(self) -> str | None:
        """The lines that the databases' licences want shown beside their data; None where there are none."""
        lines = [one.attribution for one in (self.places, self.networks) if one is not None]
        return "; ".join(dict.fromkeys(line for line in lines if line)) or None

    def reload_if_changed(self) -> bool:
        """Open anew what has another file at its path; True if any has. The old one stays in use on DatabaseError.

        Replace a file by a rename: the open one is mapped into memory, and writing into it changes it under us.
        """
        changed = False
        try:
            for one in (self.places, self.networks):
                changed = (one is not None and one.reload_if_changed()) or changed
        finally:
            if changed:
                self._cache.clear()
        return changed

    def close(self) -> None:
        """Give the files back. The finder is not usable afterwards."""
        self._cache.clear()
        self.places.close()
        if self.networks is not None:
            self.networks.close()

    def _look_up(self, address: Address) -> Place | None:
        if isinstance(address, IPv6Address):
            if address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            elif address.scope_id is not None:
                address = IPv6Address(int(address))  # a zone says nothing about the place
        if not address.is_global:
            return None
        record = self.places.record(address)
        place = _place_of(record) if record is not None else None
        network = self.networks.record(address) if self.networks is not None else None
        if network is None or (asn := _asn(network)) is None:
            return place
        return replace(place or _NOWHERE, asn=asn, as_org=_organisation(network))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as fault:
        raise DatabaseError(f"{path}: {fault.strerror}") from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _open(path: Path) -> tuple[maxminddb.Reader, tuple[int, int, int]]:
    stamp = _stamp(path)
    try:
        reader = maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT)
        reader.get("192.0.2.1")  # a tree that cannot be walked is found now
    except OSError as fault:
        raise DatabaseError(f"{path}: {fault.strerror or fault}") from None
    except (maxminddb.InvalidDatabaseError, ValueError) as fault:
        raise DatabaseError(f"{path}: not a usable mmdb file: {str(fault).splitlines()[0]}") from None
    return reader, stamp


def _place_of(record: Mapping[str, object]) -> Place | None:
    """One record of either schema; None where nothing in it is usable."""
    location = record.get("location")
    spot: Mapping[str, object] = location if isinstance(location, Mapping) else record
    latitude, longitude = _number(spot.get("latitude"), 90), _number(spot.get("longitude"), 180)
    if latitude is None or longitude is None:
        latitude = longitude = None  # half a position is none
    place = Place(
        country=_country(record),
        region=_region(record),
        city=_name(record.get("city")),
        latitude=latitude,
        longitude=longitude,
        accuracy_km=_number(spot.get("accuracy_radius"), 20_040) if latitude is not None else None,
        asn=_asn(record),
        as_org=_organisation(record),
    )
    return None if place == _NOWHERE else place


def _country(record: Mapping[str, object]) -> str | None:
    nested = record.get("country") or record.get("registered_country")
    code = nested.get("iso_code") if isinstance(nested, Mapping) else record.get("country_code") or nested
    if not isinstance(code, str) or len(code) != 2 or not (code.isascii() and code.isalpha()):
        return None
    return None if code.upper() == "ZZ" else code.upper()  # ISO 3166 user-assigned: unknown


def _region(record: Mapping[str, object]) -> str | None:
    divisions = record.get("subdivisions")
    if isinstance(divisions, list | tuple) and divisions:
        return _name(divisions[0])
    return _name(record.get("state1") or record.get("region") or record.get("state"))


def _name(value: object) -> str | None:
    """A name as text, or the English one (else the first) of MaxMind's ``{names: {en: ...}}``."""
    if isinstance(value, Mapping):
        names = value.get("names")
        if not isinstance(names, Mapping) or not names:
            return None
        value = names.get("en") or next(iter(names.values()))
    return value[:_LONGEST_NAME] if isinstance(value, str) and value else None


def _number(value: object, most: float) -> float | None:
    """A finite number within +-``most``; flat databases write some as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) <= most else None


def _asn(record: Mapping[str, object]) -> int | None:
    value = record.get("autonomous_system_number") or record.get("asn") or record.get("as_number")
    if isinstance(value, str):
        value = value.upper().removeprefix("AS")
        value = int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32 else None


def _organisation(record: Mapping[str, object]) -> str | None:
    names = ("autonomous_system_organization", "as_organization", "as_name", "organization")
    return _name(next((record[name] for name in names if record.get(name)), None))


_NOWHERE: Final = Place()
_FIELDS: Final = tuple(field.name for field in fields(Place))
