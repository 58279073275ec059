"""geo.lookup: places of both schemas, of the bundled database and of broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from geo.lookup import DatabaseError, Place, PlaceFinder

NESTED: dict[str, Any] = {
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "registered_country": {"iso_code": "US"},
    "subdivisions": [{"iso_code": "BE", "names": {"de": "Berlin", "en": "State of Berlin"}}],
    "city": {"names": {"en": "Berlin", "ja": "ベルリン"}},
    "location": {"latitude": 52.52, "longitude": 13.405, "accuracy_radius": 20},
    "autonomous_system_number": 3320,
}
FLAT: dict[str, Any] = {
    "country_code": "jp",
    "state1": "Tokyo",
    "city": "Chiyoda",
    "latitude": "35.69",
    "longitude": "139.75",
    "asn": "AS2497",
}


BERLIN = Place("DE", "State of Berlin", "Berlin", 52.52, 13.405, 20.0, 3320)


def write(path: Path, records: dict[str, dict[str, Any]], kind: str = "Test") -> Path:
    """An mmdb file; replaced by a rename, as one should."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=kind)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    draft = path.with_suffix(".new")
    writer.to_db_file(str(draft))
    draft.replace(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    private = {"10.0.0.0/8": NESTED, "127.0.0.0/8": NESTED, "fc00::/8": NESTED}  # whatever a database says of them
    records = {"5.0.0.0/8": NESTED, "6.0.0.0/8": FLAT, "2a00::/16": NESTED, **private}
    return write(tmp_path / "places.mmdb", records)


@pytest.fixture
def finder(file: Path) -> Iterator[PlaceFinder]:
    with closing(PlaceFinder.open(file)) as finder:
        yield finder


def find_one(folder: Path, record: dict[str, Any]) -> Place | None:
    with closing(PlaceFinder.open(write(folder / "one.mmdb", {"5.0.0.0/8": record}))) as finder:
        return finder.find("5.1.2.3")


BERLIN = Place("DE", "State of Berlin", "Berlin", 52.52, 13.405, 20.0, 3320)


def test_nested_schema_is_read(finder: PlaceFinder) -> None:
    assert finder.find("5.1.2.3") == BERLIN
    assert finder.find(ip_address("2a00::1")) == BERLIN


def test_flat_schema_is_read(finder: PlaceFinder) -> None:
    assert finder.find("6.1.2.3") == Place("JP", "Tokyo", "Chiyoda", 35.69, 139.75, None, 2497)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.0.1", "::1", "fc00::1", "fe80::1%eth0", "7.1.1.1", ""]
)
def test_private_unknown_and_odd_addresses_are_unknown(finder: PlaceFinder, address: str) -> None:
    assert finder.find(address) is None


def test_ipv4_in_ipv6_and_zones_are_understood(finder: PlaceFinder) -> None:
    assert finder.find("::ffff:5.1.2.3") == BERLIN
    assert finder.find("2a00::1%eth0") == BERLIN
    assert finder.find("::ffff:10.0.0.1") is None


@pytest.mark.parametrize(
    "record",
    [
        {"country": {"iso_code": "Germany"}},
        {"country": "ZZ"},
        {"country_code": 49},
        {"country_code": ""},
        {"location": {"latitude": 91.0, "longitude": 0.0}},
        {"location": {"latitude": 1.0}},
        {"latitude": "nan", "longitude": "1"},
        {"city": {"names": {}}, "subdivisions": []},
        {"asn": "AS"},
        {"location": "Berlin", "subdivisions": "Berlin"},
    ],
)
def test_unusable_record_is_an_unknown_place(tmp_path: Path, record: dict[str, Any]) -> None:
    assert find_one(tmp_path, record) is None


def test_country_alone_is_enough(tmp_path: Path) -> None:
    assert find_one(tmp_path, {"country_code": "CH"}) == Place(country="CH")
    assert find_one(tmp_path, {"registered_country": {"iso_code": "SE"}}) == Place(country="SE")


def test_names_of_a_database_are_bounded(tmp_path: Path) -> None:
    place = find_one(tmp_path, {"city": "x" * 10_000})
    assert place is not None
    assert place.city == "x" * 200


def test_memory_is_bounded(file: Path) -> None:
    with closing(PlaceFinder(file, cache_size=100)) as finder:
        for number in range(1_000):
            finder.find(ip_address((5 << 24) + number))
        assert len(finder._cache) == 100
        assert finder.find("5.1.2.3") == BERLIN


def test_replaced_file_is_taken_up(tmp_path: Path, file: Path, finder: PlaceFinder) -> None:
    assert not finder.reload_if_changed()
    assert finder.find("5.1.2.3") == BERLIN
    write(file, {"5.0.0.0/8": {"country_code": "FR"}})
    assert finder.find("5.1.2.3") == BERLIN
    assert finder.reload_if_changed()
    assert finder.find("5.1.2.3") == Place(country="FR")
    assert not finder.reload_if_changed()


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut"])
def test_unusable_new_file_leaves_the_old_one_in_use(file: Path, finder: PlaceFinder, damage: str) -> None:
    content = {"empty": b"", "text": b"no database\n", "cut": file.read_bytes()[:200]}
    if damage == "missing":
        file.unlink()
    else:
        draft = file.with_suffix(".new")
        draft.write_bytes(content[damage])
        draft.replace(file)
    with pytest.raises(DatabaseError, match=r"places\.mmdb: "):
        finder.reload_if_changed()
    assert finder.find("5.1.2.3") == BERLIN


@pytest.mark.parametrize("content", [None, b"", b"text", b"\xab\xcd\xefMaxMind.com\xe0"])
def test_unusable_file_is_said_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseError) as fault:
        PlaceFinder.open(path)
    assert str(fault.value).startswith(f"{path}: ")
    assert "\n" not in str(fault.value)


def test_bundled_database_knows_countries_and_its_own_date() -> None:
    with closing(PlaceFinder.bundled()) as finder:
        assert finder.find("8.8.8.8") == Place(country="US")
        assert finder.find("2001:4860:4860::8888") == Place(country="US")
        assert finder.database_date.year >= 2026
        assert finder.attribution is not None
        assert "PDDL" in finder.attribution


@pytest.mark.parametrize(
    ("kind", "words"), [("DBIP-Country-Lite", "db-ip.com"), ("GeoLite2-City", "MaxMind"), ("Own", None)]
)
def test_attribution_is_what_the_licence_asks(tmp_path: Path, kind: str, words: str | None) -> None:
    path = write(tmp_path / "x.mmdb", {"5.0.0.0/8": FLAT}, kind)
    with closing(PlaceFinder.open(path)) as finder:
        assert (words is None and finder.attribution is None) or (words or "") in (finder.attribution or "")


def test_a_second_database_adds_the_network(tmp_path: Path, file: Path) -> None:
    asn = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"}
    networks = write(tmp_path / "asn.mmdb", {"5.0.0.0/8": asn, "7.0.0.0/8": asn, "6.0.0.0/8": {"isp": "?"}})
    with closing(PlaceFinder.open(file, networks)) as finder:
        both, only = finder.find("5.1.1.1"), finder.find("7.1.1.1")
        assert both is not None
        assert (both.country, both.city, both.asn, both.as_org) == ("DE", "Berlin", 64500, "Example Net")
        assert only == Place(asn=64500, as_org="Example Net")
        assert finder.find("6.0.0.1") is not None


def test_either_file_is_taken_up_when_replaced(tmp_path: Path, file: Path) -> None:
    networks = write(tmp_path / "asn.mmdb", {"5.0.0.0/8": {"asn": 64500}})
    with closing(PlaceFinder.open(file, networks)) as finder:
        assert finder.find("5.1.1.1") == replace(BERLIN, asn=64500)
        write(networks, {"5.0.0.0/8": {"asn": 64501, "as_name": "Other"}})
        assert finder.reload_if_changed()
        assert finder.find("5.1.1.1") == replace(BERLIN, asn=64501, as_org="Other")
        draft = tmp_path / "draft"
        draft.write_bytes(b"no database")
        draft.replace(networks)
        write(file, {"5.0.0.0/8": FLAT})
        with pytest.raises(DatabaseError, match=r"asn\.mmdb"):
            finder.reload_if_changed()
        found = finder.find("5.1.1.1")
        assert found is not None
        assert (found.country, found.asn) == ("JP", 64501)  # the old one of networks stays


def test_a_database_says_what_it_knows(file: Path) -> None:
    with closing(PlaceFinder.bundled()) as finder:
        assert finder.places.covers() == {"country"}
    with closing(PlaceFinder.open(file)) as finder:
        assert {"country", "city", "latitude", "asn"} <= finder.places.covers()
