"""admin/paging.py: filters and places as addresses have them."""

from __future__ import annotations

import uuid
from ipaddress import ip_network
from urllib.parse import parse_qsl

import pytest
from factories import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from admin.lists import Place
from admin.paging import (
    Chip,
    chips,
    country_of,
    filled,
    moment_of,
    network_of,
    number_of,
    place_by_uuid,
    place_of,
    query_of,
    said_place,
)
from gatekeeper.errors import Problem

NAMES = {"user": "User", "country": "Country"}


def refused(call, *arguments) -> str:
    """The field that a refusal names."""
    with pytest.raises(Problem) as caught:
        call(*arguments)
    assert caught.value.status == 422
    (error,) = caught.value.extra["errors"]
    return error["pointer"]


class TestFilters:
    """What is asked for."""

    def test_only_known_ones_that_say_something_count_in_their_order(self):
        query = {"country": " CH ", "user": "ada", "odd": "x", "after": "1"}
        assert list(filled(query, NAMES).items()) == [("user", "ada"), ("country", "CH")]
        assert filled({"user": "  ", "country": ""}, NAMES) == {}

    @pytest.mark.parametrize("value", ["a\nb", "a\x00", "\u202eadmin", "x" * 255])
    def test_what_is_no_short_printable_line_is_refused_by_its_name(self, value):
        assert refused(filled, {"user": value}, NAMES) == "/user"

    def test_each_has_a_chip_that_leads_to_the_list_without_it(self):
        filters = {"user": "a&b=c", "country": "CH"}
        assert chips(filters, NAMES, {"country": "Switzerland"}) == [
            Chip("User", "a&b=c", "?country=CH"),
            Chip("Country", "Switzerland", "?user=a%26b%3Dc"),
        ]
        assert chips({"user": "ada"}, NAMES) == [Chip("User", "ada", "")]

    @given(st.dictionaries(st.sampled_from(["user", "country"]), st.text(min_size=1), max_size=2))
    @settings(max_examples=40)
    def test_an_address_says_exactly_the_filters_it_was_made_of(self, filters):
        filters = {name: value.encode("utf-8", "ignore").decode() for name, value in filters.items()}
        query = query_of(filters)
        assert query == "" or query[0] == "?"
        assert dict(parse_qsl(query[1:], keep_blank_values=True)) == filters


class TestPlaces:
    """Where a page begins."""

    @pytest.mark.parametrize("key", [str(uuid.UUID(int=7)), "a_-Z9", "x" * 64])
    @pytest.mark.parametrize("at", [0.0, NOW + 0.123456, 253_402_300_799.0])
    def test_a_place_comes_back_as_it_was_said(self, at, key):
        assert place_of(said_place(at, key)) == Place(pytest.approx(at, abs=1e-6), key)

    @pytest.mark.parametrize(
        "text",
        ["x", "1_a", "1.5", "1.5_", "-1.5_a", "1.5_a b", "1e9_a", "1.5_" + "x" * 65, "nan_a", "999999999999.0_a"],
    )
    def test_what_is_no_place_is_refused(self, text):
        assert refused(place_of, text) == "/after"

    def test_where_uuids_name_the_rows_nothing_else_does(self):
        assert place_by_uuid(f"1.5_{uuid.UUID(int=7)}") == Place(1.5, str(uuid.UUID(int=7)))
        assert refused(place_by_uuid, "1.5_a") == "/after"

    @pytest.mark.parametrize("text", [None, ""])
    def test_the_first_page_has_no_place(self, text):
        assert place_of(text) is None
        assert place_by_uuid(text) is None
        assert number_of(text) is None

    def test_a_numbered_list_goes_on_by_number(self):
        assert number_of("17") == 17

    @pytest.mark.parametrize("text", ["-1", "1.5", "x", "²", "٣", "1" * 19])
    def test_what_is_no_number_is_refused(self, text):
        assert refused(number_of, text) == "/after"


class TestValues:
    """Addresses, countries, times."""

    def test_addresses_and_networks_are_networks(self):
        assert network_of("192.0.2.7") == ip_network("192.0.2.7/32")
        assert network_of("192.0.2.7/24") == ip_network("192.0.2.0/24")
        assert network_of("2001:db8::/32") == ip_network("2001:db8::/32")
        assert network_of("") is None

    @pytest.mark.parametrize("text", ["192.0.2", "192.0.2.0/33", "nonsense", "0/0", "1' OR 1=1"])
    def test_what_is_neither_is_refused(self, text):
        assert refused(network_of, text) == "/address"

    def test_a_country_is_two_letters(self):
        assert (country_of("ch"), country_of(None)) == ("CH", None)

    @pytest.mark.parametrize("text", ["C", "CHE", "C1", "ÄÖ"])
    def test_another_country_is_refused(self, text):
        assert refused(country_of, text) == "/country"

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("2027-01-15T08:00", NOW),
            ("2027-01-15T08:00Z", NOW),
            ("2027-01-15T09:00+01:00", NOW),
            ("2027-01-15", NOW - 8 * 3600),
            (None, None),
        ],
    )
    def test_a_time_is_utc_unless_it_says_otherwise(self, text, seconds):
        assert moment_of(text, "since") == seconds

    @pytest.mark.parametrize(
        "text",
        ["yesterday", "2027-13-01", "12:00", "9999999-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"],
    )
    def test_what_is_no_time_is_refused_by_its_field(self, text):
        assert refused(moment_of, text, "until") == "/until"
