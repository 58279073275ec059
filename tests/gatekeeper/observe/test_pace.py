"""gatekeeper/observe/pace.py: how fast a count grows lately."""

import pytest

from gatekeeper.observe.pace import Pace


def _rates(pace, looks):
    """At each time, after so many more."""
    rates = []
    for now, more in looks:
        pace.add(more)
        rates.append(pace.rate(now))
    return rates


def test_the_first_look_says_nothing_yet():
    assert _rates(Pace(), [(100.0, 7)]) == [0.0]


def test_a_steady_count_has_its_rate_whatever_the_looks():
    assert _rates(Pace(), [(look * 0.5, 20) for look in range(60)])[1:] == pytest.approx([40.0] * 59)


def test_what_is_longer_ago_than_the_window_is_forgotten():
    pace = Pace(window=10.0)
    assert _rates(pace, [(float(second), 1000) for second in range(5)])[-1] == 1000.0
    assert _rates(pace, [(float(second), 0) for second in range(5, 20)])[-1] == 0.0


def test_two_looks_at_one_moment_are_no_fault():
    assert _rates(Pace(), [(1.0, 5), (1.0, 4)]) == [0.0, 0.0]
