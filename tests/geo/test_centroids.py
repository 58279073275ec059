"""geo.centroids: the middle of countries."""

from __future__ import annotations

from geo.centroids import centroid
from policies.countries import CODES


def test_every_country_has_a_middle() -> None:
    for code in CODES:
        found = centroid(code)
        assert found is not None, code
        assert -90 <= found[0] <= 90
        assert -180 <= found[1] <= 180
    assert centroid("DE") == (51.1, 10.4)
    assert centroid("??") is None
