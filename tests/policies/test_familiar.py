"""What is usual for a user: learnt, forgotten, bounded, kept as JSON."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from policies.familiar import REMEMBERED, Familiar, Sighting

NOW = 1_800_000_000.0


def _login(number: int, time: float) -> Sighting:
    address = ip_address(0x0B000000 + number)
    return Sighting(time, address, f"C{number}", "x", 1.0, 2.0, 3.0, number, None, f"d{number}", f"f{number}")


def test_what_it_holds_survives_json() -> None:
    familiar = Familiar()
    for number in range(3):
        familiar = familiar.with_login(_login(number, NOW + number))
    assert Familiar.load(json.loads(json.dumps(familiar.dump()))) == familiar


def test_it_stays_small_however_much_is_seen() -> None:
    familiar = Familiar()
    for number in range(1000):
        familiar = familiar.with_login(_login(number, NOW + number))
    assert len(json.dumps(familiar.dump())) < 8000
    assert "f999" in familiar.fingerprints
    assert "f0" not in familiar.fingerprints
    assert familiar.logins == 1000
    assert sum(familiar.hours) <= 400


def test_what_was_not_seen_for_long_is_not_usual_any_more() -> None:
    familiar = Familiar().with_login(_login(1, NOW)).with_login(_login(2, NOW + REMEMBERED + 1))
    assert list(familiar.countries) == ["C2"]


def test_a_session_s_use_makes_a_place_usual_and_nothing_else() -> None:
    familiar = Familiar().with_login(_login(1, NOW))
    used = familiar.with_use(_login(2, NOW + 60))
    assert set(used.addresses) == {"11.0.0.1", "11.0.0.2"}
    assert (used.logins, used.fingerprints, used.hours, used.spots) == (
        familiar.logins,
        familiar.fingerprints,
        familiar.hours,
        familiar.spots,
    )


@pytest.mark.parametrize("record", [{}, {"logins": "x"}, {**Familiar().dump(), "spots": [[1, 2]]}, {"logins": None}])
def test_what_cannot_be_read_is_nothing_usual(record: dict[str, object]) -> None:
    assert Familiar.load(record) == Familiar()
