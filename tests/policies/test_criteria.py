"""Each criterion: yes, no, and when nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from policies.criteria import Answer, Countries, Criterion, Header, Networks, Query, Timing
from policies.model import Address, RequestTarget
from policies.patterns import parse_value
from policies.schedule import Schedule, parse_days, parse_hours, parse_zone


@dataclass
class Asking:
    """A request as criteria see it."""

    target: RequestTarget
    client: Address
    headers: Lines
    received: float


class Lines(list[tuple[str, str]]):
    """Header fields in the order of the wire."""

    def items(self) -> list[tuple[str, str]]:
        return list(self)


def asking(
    query: str | None = None, headers: list[tuple[str, str]] | None = None, client: str = "192.0.2.1", at: float = 0.0
) -> Asking:
    target = RequestTarget("https", "app.test", None, "/", query)
    return Asking(target, ip_address(client), Lines(headers or []), at)


def judged(criterion: Criterion, request: Asking, country: str | None = None) -> Answer:
    return criterion.judge(request, lambda _address: country)


@pytest.mark.parametrize(
    ("wanted", "query", "answer"),
    [
        ("json", "format=json", Answer.YES),
        ("json", "a=1&format=json&b=2", Answer.YES),
        ("json", "format=xml", Answer.NO),
        ("json", "format=JSON", Answer.NO),
        ("json", "Format=json", Answer.NO),
        ("json", None, Answer.NO),
        ("json", "", Answer.NO),
        ("json", "f%6Frmat=js%6Fn", Answer.YES),
        ("a b", "format=a+b", Answer.YES),
        ("v*", "format=v2", Answer.YES),
        ("v*", "format=2", Answer.NO),
        (True, "format", Answer.YES),
        (True, "format=", Answer.YES),
        (True, "other", Answer.NO),
        (False, "other", Answer.YES),
        (False, None, Answer.YES),
        (False, "format=", Answer.NO),
        ("json", "format=json&format=json", Answer.YES),
        ("json", "format=xml&format=yaml", Answer.NO),
    ],
)
def test_a_parameter_is_compared_by_its_decoded_name_and_value(
    wanted: str | bool, query: str | None, answer: Answer
) -> None:
    assert judged(Query("format", parse_value(wanted)), asking(query)) is answer


@pytest.mark.parametrize(
    "query",
    [
        "format=json&format=xml",
        "format=xml&f%6Frmat=json",
        "a=1;format=json",
        "format=json;format=xml",
        "format=json;",
    ],
)
def test_a_parameter_that_two_readers_would_read_differently_is_unclear(query: str) -> None:
    assert judged(Query("format", parse_value("json")), asking(query)) is Answer.UNCLEAR


@pytest.mark.parametrize(
    ("wanted", "lines", "answer"),
    [
        ("2", [("X-Version", "2")], Answer.YES),
        ("2", [("x-version", "2")], Answer.YES),
        ("2", [("X_Version", "2")], Answer.YES),
        ("2", [("X-Version", "3")], Answer.NO),
        ("2", [], Answer.NO),
        ("2*", [("X-Version", "2.1")], Answer.YES),
        (True, [("X-Version", "")], Answer.YES),
        (False, [], Answer.YES),
        (False, [("X_VERSION", "2")], Answer.NO),
        ("2", [("X-Version", "2"), ("X-Version", "2")], Answer.YES),
        ("2", [("X-Version", "2"), ("X_Version", "3")], Answer.UNCLEAR),
        ("2", [("X-Version", "2"), ("Connection", "close, X-Version")], Answer.UNCLEAR),
        ("2", [("X-Version", "2"), ("Connection", "close")], Answer.YES),
    ],
)
def test_a_header_field_is_compared_in_whatever_spelling_of_its_name(
    wanted: str | bool, lines: list[tuple[str, str]], answer: Answer
) -> None:
    assert judged(Header("X-Version", parse_value(wanted)), asking(headers=lines)) is answer


@pytest.mark.parametrize(
    ("client", "answer"),
    [("10.1.2.3", Answer.YES), ("11.0.0.1", Answer.NO), ("2001:db8::1", Answer.YES), ("2001:db9::1", Answer.NO)],
)
def test_networks_hold_the_clients_address(client: str, answer: Answer) -> None:
    networks = Networks((ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))
    assert judged(networks, asking(client=client)) is answer


def test_an_ipv4_address_is_not_in_an_ipv6_network_of_the_same_number() -> None:
    assert judged(Networks((ip_network("::/0"),)), asking(client="1.2.3.4")) is Answer.NO


def test_a_country_that_nobody_knows_is_unclear_unless_asked_for() -> None:
    swiss = Countries(frozenset({"CH"}))
    assert judged(swiss, asking(), "CH") is Answer.YES
    assert judged(swiss, asking(), "DE") is Answer.NO
    assert judged(swiss, asking(), None) is Answer.UNCLEAR
    assert judged(Countries(frozenset({"CH", "unknown"})), asking(), None) is Answer.YES


# 2026-03-27 is a Friday; 12:00 UTC.
FRIDAY_NOON = 1774612800.0


@pytest.mark.parametrize(
    ("days", "hours", "zone", "shift", "holds"),
    [
        (["mon-fri"], ["08:00-18:00"], "UTC", 0, True),
        (["mon-fri"], ["08:00-18:00"], "UTC", 6 * 3600 - 1, True),
        (["mon-fri"], ["08:00-18:00"], "UTC", 6 * 3600, False),
        (["mon-fri"], ["08:00-18:00"], "UTC", 24 * 3600, False),
        (["sat-mon"], ["00:00-24:00"], "UTC", 24 * 3600, True),
        (["sat-mon"], ["00:00-24:00"], "UTC", 0, False),
        (["fri"], ["20:00-22:00"], "Asia/Tokyo", 0, True),
        (["fri"], ["22:00-06:00"], "UTC", 15 * 3600, True),
        (["sat"], ["22:00-06:00"], "UTC", 15 * 3600, False),
        (["fri"], ["08:00-09:00", "11:00-13:00"], "UTC", 0, True),
        # The clocks of Zurich go from 02:00 to 03:00 on Sunday, 2026-03-29, 01:00 UTC.
        (["sun"], ["03:00-04:00"], "Europe/Zurich", 37 * 3600, True),
        (["sun"], ["02:00-03:00"], "Europe/Zurich", 37 * 3600, False),
    ],
)
def test_a_schedule_goes_by_the_clock_on_the_wall(
    days: list[str], hours: list[str], zone: str, shift: int, holds: bool
) -> None:
    timing = Timing(Schedule(parse_days(days), parse_hours(hours), parse_zone(zone)))
    assert judged(timing, asking(at=FRIDAY_NOON + shift)) is Answer(holds)


@pytest.mark.parametrize("text", ["monday", "mon-", "-fri", "Mon", "", "mon-fri-sun"])
def test_days_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a day such as mon"):
        parse_days([text])


@pytest.mark.parametrize("text", ["8:00-18:00", "08:00", "08:00-08:00", "24:00-08:00", "08:00-24:30", "25:00-26:00"])
def test_hours_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hours such as"):
        parse_hours([text])


@pytest.mark.parametrize("text", ["Europe/Atlantis", "../etc/passwd", "/etc/passwd", "", "Europe/", "a\0b"])
def test_zones_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_zone(text)


def test_a_miss_says_what_was_there() -> None:
    def nowhere(_address: Address) -> None:
        return None

    assert "'1', not 2" in Query("a", parse_value("2")).miss(asking("a=1"), nowhere)
    assert "'1' and '2' at once" in Query("a", parse_value("2")).miss(asking("a=1&a=2"), nowhere)
    assert "absent, not present" in Header("X-A", parse_value(True)).miss(asking(), nowhere)
    assert "192.0.2.1 is not in 10.0.0.0/8" in Networks((ip_network("10.0.0.0/8"),)).miss(asking(), nowhere)
