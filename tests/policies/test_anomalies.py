"""Each signal: when it speaks, what it rests on, and when it is silent."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from policies.anomalies import (
    WEIGHTS,
    Finding,
    Lately,
    Login,
    Settings,
    Signal,
    evidence_of,
    is_vague,
    of_failure,
    of_login,
    of_use,
    risk,
)
from policies.familiar import Familiar, Sighting
from policies.listed import Listed
from policies.travel import Limits

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86_400.0
BERLIN = {"country": "DE", "city": "Berlin", "latitude": 52.52, "longitude": 13.40, "accuracy_km": 20.0}
MUNICH = {"country": "DE", "city": "Munich", "latitude": 48.14, "longitude": 11.58, "accuracy_km": 20.0}
TOKYO = {"country": "JP", "city": "Tokyo", "latitude": 35.68, "longitude": 139.69, "accuracy_km": 20.0}


def sighting(time: float = NOW, address: str = "11.0.0.1", **facts: Any) -> Sighting:
    return Sighting(time, ip_address(address), **{**BERLIN, "asn": 3320, "device": "d1", "fingerprint": "f1", **facts})


HOME = sighting(NOW - 5 * HOUR)
USUAL = Familiar().with_login(HOME)


def signals(seen: Sighting, familiar: Familiar = USUAL, **settings: Any) -> dict[str, Any]:
    found = of_login(Login(seen, familiar, Lately(), Settings(**settings)))
    return {str(one.signal): dict(one.evidence) for one in found}


def test_the_same_again_is_not_odd() -> None:
    assert signals(sighting()) == {}


def test_the_first_login_of_an_account_raises_nothing() -> None:
    stranger = sighting(address="12.0.0.1", asn=1, **TOKYO)
    assert signals(stranger, Familiar(), listed=Listed([1])) == {}


def test_what_is_not_known_is_never_suspicious() -> None:
    nothing = Sighting(NOW, ip_address("11.0.0.1"))
    assert signals(nothing) == {}
    assert signals(sighting(), Familiar().with_login(Sighting(NOW - HOUR, ip_address("11.0.0.1")))) == {}


def test_a_browser_that_has_the_cookie_or_looks_like_a_known_one_is_no_new_device() -> None:
    assert signals(sighting(device=None)) == {}  # the cookie was cleared
    assert signals(sighting(fingerprint="f2")) == {}  # another major version of the system
    assert signals(sighting(device=None, fingerprint="f2")) == {"new_device": {"known_devices": 1}}


def test_an_address_a_network_and_a_country_are_new_each_for_itself() -> None:
    assert signals(sighting(address="11.0.0.2")) == {"new_address": {"address": "11.0.0.2"}}
    assert signals(sighting(asn=1, as_org="One")) == {"new_network": {"asn": 1, "as_org": "One"}}
    found = signals(sighting(country="AT"))
    assert found == {"new_country": {"country": "AT", "usual": ["DE"]}}


def test_an_ipv6_address_is_its_network() -> None:
    familiar = Familiar().with_login(sighting(NOW - HOUR, "2a00:1:2:3::1"))
    assert signals(sighting(address="2a00:1:2:3:4:5:6:7"), familiar) == {}
    assert "new_address" in signals(sighting(address="2a00:1:2:4::1"), familiar)


def test_nobody_is_in_berlin_and_five_hours_later_in_tokyo() -> None:
    found = signals(sighting(address="12.0.0.1", asn=9, **TOKYO))["impossible_travel"]
    assert (found["from"], found["to"], found["hours"]) == ("Berlin, DE", "Tokyo, JP", 5.0)
    assert found["km"] == pytest.approx(8920 - 200 - 40, abs=20)
    assert found["km_per_hour"] == pytest.approx(found["km"] / 5, abs=1)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (sighting(NOW + 12 * HOUR, "12.0.0.1", **TOKYO), "time enough"),
        (sighting(address="11.0.0.1", **TOKYO), "the same address, which the database has moved"),
        (sighting(address="10.0.0.1", **TOKYO), "a private address is everybody's"),
        (sighting(address="12.0.0.1", **{**TOKYO, "accuracy_km": 2000.0}), "too vague"),
        (sighting(address="12.0.0.1", asn=3320, **TOKYO), "a usual network on a known device: a VPN"),
        (sighting(address="12.0.0.1", **{**TOKYO, "latitude": None}), "a country is no place"),
    ],
)
def test_a_journey_that_may_be_or_cannot_be_judged_is_none(seen: Sighting, why: str) -> None:
    assert "impossible_travel" not in signals(replace(seen, asn=seen.asn if "VPN" in why else 9)), why


def test_every_recent_place_counts_not_only_the_last() -> None:
    familiar = USUAL.with_login(sighting(NOW - HOUR, "12.0.0.9", **{**TOKYO, "latitude": None}))
    assert "impossible_travel" in signals(sighting(address="12.0.0.1", asn=9, **TOKYO), familiar)


def test_somewhere_else_a_moment_ago_is_two_countries_at_once() -> None:
    familiar = Familiar().with_login(sighting(NOW - 600))
    found = signals(sighting(address="12.0.0.1", asn=9, country="PL"), familiar)
    assert found["parallel_countries"] == {"countries": ["DE", "PL"], "minutes": 10}
    assert "parallel_countries" not in signals(sighting(NOW + HOUR, "12.0.0.1", asn=9, country="PL"), familiar)


def test_a_long_silence_is_said_in_days() -> None:
    assert signals(sighting(NOW + 100 * DAY))["dormant_account"] == {"days": 100}
    assert signals(sighting(NOW + 80 * DAY)) == {}


def test_an_hour_is_odd_only_for_whoever_has_habits() -> None:
    familiar = Familiar()
    night, day = NOW - NOW % DAY + 3 * HOUR, NOW - NOW % DAY + 12 * HOUR
    for number in range(39):
        familiar = familiar.with_login(sighting(day - (40 - number) * DAY))
    assert "odd_hour" not in signals(sighting(night), familiar)
    familiar = familiar.with_login(sighting(day - DAY))
    assert signals(sighting(night), familiar)["odd_hour"] == {"hour_utc": 3, "share_percent": 0.0}
    assert "odd_hour" not in signals(sighting(day + HOUR), familiar)


def test_a_listed_network_is_told_for_good_and_bad_attempts() -> None:
    assert signals(sighting(), listed=Listed([3320]))["listed_network"]["asn"] == 3320
    login = Login(sighting(), Familiar(), Lately(), Settings(listed=Listed([3320])))
    assert [one.signal for one in of_failure(login)] == [Signal.LISTED_NETWORK]


@pytest.mark.parametrize(
    ("lately", "signal"),
    [
        (Lately(accounts_of_address=5), Signal.PASSWORD_SPRAY),
        (Lately(accounts_of_client=10, addresses_of_client=5), Signal.CREDENTIAL_STUFFING),
        (Lately(failures_of_account=8), Signal.BRUTE_FORCE),
        (Lately(codes_of_account=4), Signal.OTP_GUESSING),
    ],
)
def test_failures_are_told_from_as_many_on_as_the_settings_say(lately: Lately, signal: Signal) -> None:
    assert [one.signal for one in of_failure(Login(sighting(), Familiar(), lately, Settings()))] == [signal]
    fewer = Lately(*(max(getattr(lately, name) - 1, 0) for name in lately.__slots__))
    assert of_failure(Login(sighting(), Familiar(), fewer, Settings())) == []


def test_what_is_usual_for_a_user_says_nothing_about_a_wrong_guess() -> None:
    assert of_failure(Login(sighting(address="12.0.0.1", asn=9, **TOKYO), USUAL, Lately(), Settings())) == []


def use(now: Sighting, before: Sighting = HOME, familiar: Familiar = USUAL) -> dict[str, Any]:
    return {str(one.signal): one.evidence for one in of_use(before, Login(now, familiar, Lately(), Settings()))}


def test_a_session_that_moves_to_an_unusual_address_is_told_with_both() -> None:
    assert use(sighting()) == {}
    found = use(sighting(address="12.0.0.1", asn=9, **MUNICH))
    assert found["address_changed"] == {"from": "11.0.0.1", "to": "12.0.0.1", "from_country": "DE", "to_country": "DE"}
    assert use(sighting(address="12.0.0.1")) == {}  # the usual network


def test_a_session_that_moves_about_its_user_s_own_town_has_a_new_network_and_no_more() -> None:
    street = sighting(address="12.0.0.1", asn=9, latitude=52.40, longitude=13.06)  # Potsdam
    found = use(street)
    assert list(found) == ["new_network"]
    assert (found["new_network"]["asn"], found["new_network"]["km_from_usual"]) == (9, 27)
    assert list(use(replace(street, asn=None))) == ["new_address"]


@pytest.mark.parametrize(
    ("facts", "settings"),
    [
        (MUNICH, {}),
        ({"accuracy_km": 300.0}, {}),  # it may be anywhere
        ({"country": "PL"}, {}),
        ({"latitude": None}, {}),
        ({"fingerprint": "f2"}, {}),
        ({}, {"listed": Listed([9])}),
        ({"latitude": 52.40, "longitude": 13.06}, {"travel": Limits(nearby=10)}),
    ],
)
def test_a_move_that_may_be_far_or_of_another_is_told(facts: dict[str, Any], settings: dict[str, Any]) -> None:
    now = sighting(address="12.0.0.1", asn=9, **facts)
    found = of_use(HOME, Login(now, USUAL, Lately(), Settings(**settings)))
    assert Signal.ADDRESS_CHANGED in {one.signal for one in found}


def test_a_move_of_which_only_the_usual_country_is_known_is_vague_and_nothing_else_is() -> None:
    nowhere = {"city": None, "latitude": None, "longitude": None, "accuracy_km": None, "asn": None}
    before = sighting(NOW - 5 * HOUR, **nowhere)
    usual = Familiar().with_login(before)

    def vague(**facts: Any) -> bool:
        now = sighting(address="12.0.0.1", **{**nowhere, **facts})
        found = of_use(before, Login(now, usual, Lately(), Settings()))
        assert found[0].signal is Signal.ADDRESS_CHANGED
        return is_vague(found)

    assert vague()
    assert not vague(country="FR")
    assert not vague(country=None)
    assert not vague(fingerprint="f2")
    assert not vague(asn=9)
    assert not is_vague([])


def test_where_networks_are_not_known_a_vpn_of_a_known_browser_is_known_by_its_block() -> None:
    usual = USUAL.with_login(sighting(NOW - HOUR, "12.7.0.1", asn=None, **TOKYO))
    again = sighting(address="12.7.200.1", asn=None, **TOKYO)
    assert "impossible_travel" not in signals(again, USUAL.with_login(replace(again, time=NOW - 9 * DAY)))
    assert "impossible_travel" not in signals(again, usual)
    assert "impossible_travel" in signals(replace(again, device=None, fingerprint="f9"), usual)


def test_a_session_on_another_machine_or_in_two_countries_is_told() -> None:
    assert list(use(sighting(fingerprint="f2"))) == ["fingerprint_mismatch"]
    assert use(sighting(fingerprint=None)) == {}
    there = sighting(HOME.time + 60, "12.0.0.1", asn=9, **TOKYO)
    assert use(there)["parallel_countries"] == {"countries": ["DE", "JP"], "minutes": 1}


def test_the_risk_grows_with_each_signal_and_never_exceeds_the_whole() -> None:
    assert risk([]) == 0
    assert risk([Signal.NEW_DEVICE]) == WEIGHTS[Signal.NEW_DEVICE]
    assert risk([Signal.NEW_DEVICE, Signal.NEW_COUNTRY]) == 44
    assert risk([Signal.NEW_DEVICE, Signal.NEW_DEVICE]) == 20
    assert risk(Signal) <= 100


def test_evidence_shows_each_part_with_its_weight() -> None:
    found = [Finding(Signal.NEW_ADDRESS, {"address": "x"})]
    assert evidence_of(found) == {"new_address": {"address": "x", "weight": WEIGHTS[Signal.NEW_ADDRESS]}}
