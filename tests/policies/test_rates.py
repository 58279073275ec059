"""Limits: what headers say of them, how long to wait, and the local count while Redis is away."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from policies.rates import Counted, Limit, LimitBy, LocalWindows, Standing, key_session, whose


def standing(limit: Limit, counts: tuple[int, ...], now: float, *, counted: bool) -> Standing:
    return Standing(limit, counted, counts[0], counts[1], now, counts[2:])


SEVERAL = Limit("api", 30, 60, more=((40, 120),))


def test_headers_name_each_window_of_a_limit() -> None:
    """draft-ietf-httpapi-ratelimit-headers: a list of policies, and of what is left of each, by name"""
    assert Limit("api", 30, 60).policy == '"api";q=30;w=60'
    assert SEVERAL.policy == '"api";q=30;w=60, "api-120s";q=40;w=120'
    assert standing(Limit("api", 30, 60), (1, 0), 61.0, counted=True).item == '"api";r=29;t=60'
    assert standing(SEVERAL, (1, 0, 40, 0), 61.0, counted=True).item == '"api";r=29;t=60, "api-120s";r=0;t=60'


@pytest.mark.parametrize(
    ("counts", "wait"),
    [((30, 0, 30, 0), 59.0), ((10, 0, 40, 0), 119.0), ((30, 0, 40, 0), 119.0), ((29, 0, 39, 0), 59.0)],
)
def test_a_refused_request_waits_for_the_last_window_that_is_full(counts: tuple[int, ...], wait: float) -> None:
    assert standing(SEVERAL, counts, 1.0, counted=False).wait == wait


def test_the_local_count_is_bounded_and_the_oldest_key_falls_out() -> None:
    """security 23: whoever floods with addresses while Redis is away gets no memory for it"""
    windows, limit = LocalWindows(most=100), Limit("default", 1, 3600)
    for number in range(1000):
        assert windows.take(Counted(limit, str(number)), 0.0).allowed
    assert len(windows) == 100
    assert not windows.take(Counted(limit, "999"), 0.0).allowed
    assert windows.take(Counted(limit, "0"), 0.0).allowed


def test_a_limit_whose_windows_have_changed_counts_anew() -> None:
    windows = LocalWindows()
    assert windows.take(Counted(Limit("api", 1, 60), "a"), 0.0).allowed
    assert windows.take(Counted(SEVERAL, "a"), 0.0).allowed


def test_a_limit_by_everybody_or_by_a_header_is_known_by_its_name() -> None:
    assert [by.value for by in LimitBy] == ["address", "user", "session", "key", "rule", "header"]


def test_a_limit_by_key_counts_keys_and_who_has_none_by_user_or_address():
    limit, lines = Limit("keys", 1, 60, LimitBy.KEY), CIMultiDict()
    assert whose(limit, lines, "192.0.2.1", "u", key_session("1")) == "key:1"
    assert whose(limit, lines, "192.0.2.1", "u", "s") == "u"
    assert whose(limit, lines, "192.0.2.1") == "192.0.2.1"
