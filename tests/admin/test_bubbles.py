"""admin/bubbles.py: places as bubbles, near ones as one."""

import math
import re

import pytest

from admin.bubbles import Layout, Picture
from admin.places import Spot
from gatekeeper.journal.questions import Area
from geo.projection import HEIGHT, WIDTH, project

ZURICH = Spot("CH", "Zürich", 47.4, 8.5, {"success": 8, "failure": 2})
WINTERTHUR = Spot("CH", "Winterthur", 47.5, 8.7, {"success": 5})
BOSTON = Spot("US", "Boston", 42.4, -71.1, {"blocked": 1})
SOMEWHERE = Spot("JP", "", None, None, {"failure": 3})
NOWHERE = Spot("", "", None, None, {"success": 40})
WORLD = Picture.of(None)


def _all(spots, picture=WORLD, area=None, country=None):
    return Layout(spots, picture, area=area, country=country).bubbles


def test_near_places_are_one_bubble_and_far_ones_are_not():
    one, other = _all([ZURICH, WINTERTHUR, BOSTON])
    assert (one.cities, one.total, one.places) == (["Zürich", "Winterthur"], 15, 2)
    assert one.attempts == {"success": 13, "failure": 2}
    assert [(part.value, part.start, part.part) for part in one.slices] == [
        ("success", 0, 86.67),
        ("failure", 86.67, 13.33),
    ]
    assert (other.cities, other.total) == (["Boston"], 1)
    assert one.radius > other.radius


def test_wedges_go_round_clockwise_from_the_top_without_a_gap():
    (bubble,) = _all([ZURICH])
    ends = []
    for wedge in bubble.wedges:
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", wedge.path)]
        assert math.dist(numbers[:2], numbers[2:4]) == pytest.approx(bubble.radius, abs=1e-3)
        ends.append((numbers[2:4], numbers[-2:]))
    (top, turn), (again, end) = ends
    assert [wedge.result for wedge in bubble.wedges] == ["success", "failure"]
    assert turn == again
    assert top == end == pytest.approx([bubble.x, bubble.y - bubble.radius], abs=2e-3)
    assert turn[0] < bubble.x  # four fifths of the way round


def test_what_selects_a_bubble_holds_all_of_its_places_and_no_other():
    one, other = _all([ZURICH, WINTERTHUR, BOSTON])
    assert one.area == Area(47.35, 8.45, 47.55, 8.75)
    for spot in (ZURICH, WINTERTHUR):
        assert one.area.holds(spot.latitude + 0.05, spot.longitude - 0.05)
        assert not other.area.holds(spot.latitude, spot.longitude)


def test_looked_at_closely_they_come_apart():
    first, second = _all([ZURICH, WINTERTHUR], Picture.of(Area(47.35, 8.45, 47.55, 8.75)))
    assert (first.cities, second.cities) == (["Zürich"], ["Winterthur"])


def test_a_country_without_places_is_a_bubble_in_its_middle_and_selected_by_its_name():
    (bubble,) = _all([SOMEWHERE, NOWHERE])
    assert (bubble.area, bubble.country, bubble.cities) == (None, "JP", [])
    assert (bubble.x, bubble.y) == pytest.approx(project(36.7, 138), abs=0.01)


def test_what_the_filter_does_not_pick_is_told_apart():
    chosen = {one.country: one.chosen for one in _all([ZURICH, BOSTON, SOMEWHERE], country="US")}
    assert chosen == {"CH": False, "US": True, "JP": False}
    chosen = {one.country: one.chosen for one in _all([ZURICH, BOSTON, SOMEWHERE], area=Area(40, -80, 45, -60))}
    assert chosen == {"CH": False, "US": True, "JP": False}


def test_every_place_knows_its_bubble():
    layout = Layout([ZURICH, WINTERTHUR, BOSTON, SOMEWHERE], WORLD, area=None, country=None)
    shown = {one.key: one for one in layout.bubbles}
    assert shown[layout.key_of(47.45, 8.7249, "CH")].cities[0] == "Zürich"  # 47.5 in the database
    assert shown[layout.key_of(None, None, "JP")].country == "JP"
    assert layout.key_of(None, None, None) is None
    assert layout.key_of(None, None, "FR") is None
    assert layout.key_of(0.0, 0.0, "CH") is None


def test_neighbours_are_one_bubble_wherever_a_square_of_the_map_ends():
    """A small place a hair's breadth from a large one is never a bubble upon a bubble."""
    for longitude in range(-1700, 1700, 7):
        large = Spot("CH", "a", 47.4, longitude / 10, {"success": 9})
        small = Spot("CH", "b", 47.5, longitude / 10 + 0.1, {"success": 1})
        assert len(_all([small, large])) == 1


@pytest.mark.parametrize(
    "area", [Area(47.4, 8.5, 47.4, 8.5), Area(-57, -180, 84, 180), Area(83, 170, 84, 180), Area(-90, -180, -56, -179)]
)
def test_a_picture_is_within_the_map_and_has_its_proportion(area):
    picture = Picture.of(area)
    assert picture.width / picture.height == pytest.approx(WIDTH / HEIGHT, rel=1e-3)
    assert picture.x >= 0
    assert picture.y >= 0
    assert picture.x + picture.width <= WIDTH + 0.02
    assert picture.y + picture.height <= HEIGHT + 0.02
    assert picture.holds(*project((area.south + area.north) / 2, (area.west + area.east) / 2))


def test_very_many_places_are_no_more_bubbles_than_one_can_tell_apart_and_none_is_lost():
    spots = [
        Spot("XX", f"{north} {east}", north / 10, east / 10, {"success": 1 + (north + east) % 7})
        for north in range(-500, 700, 25)
        for east in range(-1700, 1700, 50)
    ]
    layout = Layout(spots, WORLD, area=None, country=None)
    assert 50 < len(layout.bubbles) <= 250
    assert sum(one.total for one in layout.bubbles) == sum(spot.total for spot in spots)
    keys = {one.key for one in layout.bubbles}
    assert {layout.key_of(spot.latitude, spot.longitude, "XX") for spot in spots} == keys
    closely = Layout(spots, Picture.of(Area(40, 0, 50, 20)), area=None, country=None)
    assert max(one.places for one in closely.bubbles) < max(one.places for one in layout.bubbles)


def test_nothing_is_no_bubble():
    assert _all([]) == []
    assert _all([Spot("CH", "Bern", 46.9, 7.4, {})]) == []
