"""gatekeeper/observe/pace.py: how fast a count grows lately."""

import pytest

from gatekeeper.observe.pace import Pace


def test_the_first_look_says_nothing_yet():
    assert Pace().rate(100.0, 7) == 0.0


def test_a_steady_count_has_its_rate_whatever_the_looks():
    pace = Pace(window=10.0)
    rates = [pace.rate(second * 0.5, second * 20) for second in range(60)]
    assert rates[1:] == pytest.approx([40.0] * 59)


def test_what_is_longer_ago_than_the_window_is_forgotten():
    pace = Pace(window=10.0)
    for second in range(5):
        pace.rate(float(second), 1000 * second)
    assert [pace.rate(float(second), 4000) for second in range(5, 20)][-1] == 0.0


def test_two_looks_at_one_moment_are_no_fault():
    pace = Pace()
    pace.rate(1.0, 5)
    assert pace.rate(1.0, 9) == 0.0
