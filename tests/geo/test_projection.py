"""geo/projection.py: where places are on the map, as the outlines have them."""

import re
from pathlib import Path

import pytest

import admin
from geo.projection import HEIGHT, WIDTH, project, unproject

WORLD = Path(admin.__file__).parent / "static" / "world.svg"


@pytest.mark.parametrize(
    "place", [(0.0, 0.0), (47.4, 8.5), (-33.9, 151.2), (64.1, -21.9), (83.9, 179.9), (-56.9, -179)]
)
def test_a_place_is_found_again_where_it_was_put(place):
    x, y = project(*place)
    assert 0 <= x <= WIDTH
    assert 0 <= y <= HEIGHT
    assert unproject(x, y) == pytest.approx(place, abs=1e-6)


def test_what_lies_beyond_the_map_is_at_its_edge():
    assert project(90, 200) == (WIDTH, 0.0)
    assert project(-90, -200) == (0.0, pytest.approx(HEIGHT, abs=1))


def test_the_outlines_are_of_the_same_size_and_projection():
    text = WORLD.read_text()
    assert f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"' in text
    land = re.search(r'id="land" d="([^"]+)"', text)[1]
    points = [tuple(map(float, point.split(","))) for point in re.findall(r"[\d.]+,[\d.]+", land)]
    for latitude, longitude in [(36.0, -5.6), (-34.8, 20.0), (8.9, -79.5), (1.3, 103.8)]:  # capes and straits
        x, y = project(latitude, longitude)
        assert min(abs(x - one) + abs(y - other) for one, other in points) < 4
