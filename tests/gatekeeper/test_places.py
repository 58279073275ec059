"""gatekeeper.app.places: databases are opened at the start and opened anew when replaced."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from gatekeeper.app.places import look, open_places
from gatekeeper.config.geo import Geo
from gatekeeper.errors import StartupError


def put(path, country):
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True)
    writer.insert_network(IPSet(["5.0.0.0/8"]), {"country_code": country})
    draft = path.with_suffix(".new")
    writer.to_db_file(str(draft))
    draft.replace(path)


def test_a_replaced_file_is_in_force_after_a_look_and_a_bad_one_is_said_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "places.mmdb"
    put(path, "DE")
    with closing(open_places(Geo(database=str(path)))) as places:
        assert places.find("5.1.1.1").country == "DE"
        put(path, "FR")
        assert look(places) == ""
        assert places.find("5.1.1.1").country == "FR"
        path.unlink()
        said = look(places)
        assert "places.mmdb" in said
        assert look(places, said) == said
        assert places.find("5.1.1.1").country == "FR"
        put(path, "IT")
        assert look(places, said) == ""
        assert places.find("5.1.1.1").country == "IT"
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1


def test_a_gate_does_not_start_without_its_database(tmp_path):
    with pytest.raises(StartupError, match=r"nowhere\.mmdb"):
        open_places(Geo(database=str(tmp_path / "nowhere.mmdb")))
    with pytest.raises(StartupError, match=r"nowhere\.mmdb"):
        open_places(Geo(asn_database=str(tmp_path / "nowhere.mmdb")))
