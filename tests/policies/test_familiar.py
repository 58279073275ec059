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


def test_a_forgotten_device_is_new_until_its_next_login_and_a_trusted_one_is_known() -> None:
    familiar = Familiar().with_login(_login(1, NOW)).forgetting_device("f1", NOW + 1)
    assert (list(familiar.fingerprints), list(familiar.forgotten)) == ([], ["f1"])
    assert Familiar.load(json.loads(json.dumps(familiar.dump()))) == familiar
    for known in (familiar.with_login(_login(1, NOW + 2)), familiar.trusting_device("f1", NOW + 2)):
        assert (list(known.fingerprints), list(known.forgotten)) == (["f1"], [])


def test_what_is_trusted_of_a_login_is_its_browser_and_its_place_but_no_login() -> None:
    familiar = Familiar().with_login(_login(1, NOW)).trusting(_login(2, NOW + 1))
    assert set(familiar.fingerprints) == {"f1", "f2"}
    assert (set(familiar.countries), set(familiar.networks)) == ({"C1", "C2"}, {"1", "2"})
    assert (familiar.logins, len(familiar.spots)) == (1, 1)


def test_a_profile_from_before_devices_could_be_forgotten_is_read() -> None:
    record = Familiar().with_login(_login(1, NOW)).dump()
    del record["forgotten"]
    assert list(Familiar.load(record).fingerprints) == ["f1"]


HOME = Sighting(NOW, ip_address("11.1.2.3"), "DE", asn=3320)


@pytest.mark.parametrize(
    ("seen", "usual"),
    [
        (Sighting(NOW, ip_address("11.1.2.3")), True),  # the very address
        (Sighting(NOW, ip_address("12.0.0.1"), "DE", asn=3320), True),  # the network
        (Sighting(NOW, ip_address("11.1.9.9"), "DE", asn=64_496), False),  # another network in the same block
        (Sighting(NOW, ip_address("11.1.9.9"), "DE"), True),  # the block, where the network is not known
        (Sighting(NOW, ip_address("11.2.9.9"), "DE"), False),
        (Sighting(NOW, ip_address("11.1.9.9"), "FR"), False),
        (Sighting(NOW, ip_address("11.1.9.9")), False),
        (Sighting(NOW, ip_address("2a00:1::5"), "DE"), False),
    ],
)
def test_an_address_is_usual_by_itself_by_its_network_or_by_its_block(seen: Sighting, usual: bool) -> None:
    assert Familiar().with_login(HOME).has_way(seen) is usual


def test_blocks_of_ipv6_are_32_bits_and_private_addresses_have_none() -> None:
    familiar = Familiar().with_login(Sighting(NOW, ip_address("2a00:1:2:3::4"), "DE"))
    assert familiar.has_way(Sighting(NOW, ip_address("2a00:1:ffff::1"), "DE"))
    assert not familiar.has_way(Sighting(NOW, ip_address("2a00:2:2:3::4"), "DE"))
    inside = Familiar().with_login(Sighting(NOW, ip_address("10.1.2.3"), "DE"))
    assert not inside.has_way(Sighting(NOW, ip_address("10.1.2.4"), "DE"))
