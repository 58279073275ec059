"""Times and devices in words."""

import pytest
from factories import NOW

from admin.wording import brief, clock_time, device, distance, gravest_first, rfc3339


def test_times_are_utc():
    assert rfc3339(NOW + 0.9) == "2027-01-15T08:00:00Z"
    assert clock_time(NOW + 0.9) == "2027-01-15 08:00:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-59.9, "just now"),
        (-60, "1 min ago"),
        (-3599, "59 min ago"),
        (-3600, "1 h ago"),
        (-86400, "1 d ago"),
        (-40 * 86400, "40 d ago"),
        (5, "in a moment"),
        (61, "in 1 min"),
        (30 * 86400, "in 30 d"),
    ],
)
def test_how_far_off(seconds, words):
    assert distance(NOW + seconds, NOW) == words


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
            "Chrome 131 on Windows",
        ),
        ("curl/8.1.2", "curl 8"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox 133 on Linux"),
        ("", "Unknown"),
        ("  ", "Unknown"),
        ("<b>mine</b>", "<b>mine</b>"),
        ("x" * 512, "x" * 59 + "…"),
    ],
)
def test_a_device_in_a_few_words(agent, words):
    assert device(agent) == words


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (999, "999"), (1000, "1k"), (20_000, "20k"), (1_500_000, "1.5M"), (2 * 10**9, "2G")]
)
def test_large_numbers_are_said_in_little_room(number, said):
    assert brief(number) == said


def test_the_gravest_signal_comes_first_and_one_that_is_not_known_last():
    signals = ["new_address", "of_tomorrow", "impossible_travel", "new_country"]
    assert gravest_first(signals) == ["impossible_travel", "new_country", "new_address", "of_tomorrow"]
