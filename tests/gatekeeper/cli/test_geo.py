"""``gatekeeper geo`` and what ``check`` says of the databases of places."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from gatekeeper.cli import main
from gatekeeper.cli.geo_findings import NO_MOVES, NO_POSITIONS, places
from gatekeeper.config.load import load

CITY = {
    "country": {"iso_code": "DE"},
    "city": {"names": {"en": "Berlin"}},
    "location": {"latitude": 52.5, "longitude": 13.4},
}
ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"}


def database(path: Path, record: dict) -> Path:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-City")
    writer.insert_network(IPSet(["5.0.0.0/8"]), record)
    writer.to_db_file(str(path))
    return path


@pytest.fixture
def folder(tmp_path):
    database(tmp_path / "places.mmdb", CITY)
    database(tmp_path / "asn.mmdb", ASN)
    (tmp_path / "config.yaml").write_text("geo: {database: places.mmdb, asn_database: asn.mmdb}\n")
    return tmp_path


@pytest.fixture
def command(folder, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["--config", str(folder / "config.yaml"), "geo", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def findings(config: Path) -> list[str]:
    return [f"{one.level} {one.item}: {one.text}" for one in places(load(config, {}).config)]


def test_status_says_what_each_database_knows(command, folder):
    status, out, _ = command("status", "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert status == 0
    assert (first["key"], first["file"], first["kind"]) == ("geo.database", str(folder / "places.mmdb"), "Test-City")
    assert first["knows"] == ["city", "country", "latitude"]
    assert (second["key"], second["knows"]) == ("geo.asn_database", ["as_org", "asn"])


def test_status_of_the_bundled_one_says_that_travel_cannot_be_judged(command, folder):
    (folder / "config.yaml").write_text("{}\n")
    status, out, _ = command("status")
    assert status == 0
    assert "iptoasn.com" in out
    assert "impossible travel is not evaluated" in out


def test_check_warns_of_what_a_database_does_not_know(folder):
    assert not [line for line in findings(folder / "config.yaml") if not line.startswith("ok")]
    (folder / "config.yaml").write_text("geo: {asn_database: places.mmdb}\n")
    warned = [line for line in findings(folder / "config.yaml") if line.startswith("warn")]
    assert len(warned) == 2
    assert NO_POSITIONS in warned[0]
    assert "knows no networks" in warned[1]


@pytest.mark.parametrize(("section", "said"), [("{}", True), ("geo: {database: places.mmdb}", False)])
def test_check_warns_where_neither_places_nor_networks_tell_moves_apart(folder, section, said):
    (folder / "config.yaml").write_text(f"{section}\n")
    assert (f"warn networks: {NO_MOVES}" in findings(folder / "config.yaml")) is said


@pytest.mark.parametrize("key", ["database", "asn_database"])
def test_check_names_the_file_that_cannot_be_used(folder, key):
    (folder / "broken.mmdb").write_bytes(b"no database")
    (folder / "config.yaml").write_text(f"geo: {{{key}: broken.mmdb}}\n")
    (said,) = findings(folder / "config.yaml")
    assert said.startswith("FAULT geo: ")
    assert "broken.mmdb: not a usable mmdb file" in said


@pytest.mark.parametrize("packed", [False, True])
def test_update_puts_a_file_in_place_gzipped_or_not(command, folder, packed):
    newer = database(folder / "newer.mmdb", {"country_code": "FR"})
    if packed:
        newer.write_bytes(gzip.compress(newer.read_bytes()))
    old = (folder / "places.mmdb").stat().st_ino
    status, out, _ = command("update", str(newer))
    assert (status, out.startswith(str(folder / "places.mmdb"))) == (0, True)
    assert (folder / "places.mmdb").stat().st_ino != old  # a rename: whoever has the old one open keeps it
    assert json.loads(command("status", "--json")[1].splitlines()[0])["knows"] == ["country"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no database", "not a usable mmdb file"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "cut off"),
        (b"\x1f\x8bgarbage", "damaged"),
    ],
)
def test_update_with_a_bad_file_changes_nothing(command, folder, content, why):
    before = (folder / "places.mmdb").read_bytes()
    (folder / "bad").write_bytes(content)
    status, _, err = command("update", str(folder / "bad"))
    assert status == 1
    assert why in err
    assert err.count("\n") == 1
    assert (folder / "places.mmdb").read_bytes() == before
    assert not list(folder.glob(".places*"))


def test_update_wants_the_right_kind_and_a_file_of_ones_own(command, folder):
    assert "knows no networks" in command("update", "--asn", str(folder / "places.mmdb"))[2]
    assert "knows no countries" in command("update", str(folder / "asn.mmdb"))[2]
    assert command("update", "--asn", str(folder / "asn.mmdb"))[0] == 0
    assert "No such file" in command("update", str(folder / "nowhere"))[2]
    (folder / "config.yaml").write_text("{}\n")
    assert "set geo.database" in command("update", str(folder / "places.mmdb"))[2]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://db.example/a.mmdb", "only https"),
        ("https://127.0.0.1/a.mmdb", "private"),
        ("https://[::1]/a", "private"),
    ],
)
def test_update_does_not_call_what_nobody_should(command, url, why):
    status, _, err = command("update", url)
    assert status == 1
    assert why in err
