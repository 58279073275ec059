"""admin/charts.py: counts as shapes."""

from __future__ import annotations

import pytest

from admin.charts import Bar, Chart, Part, Share, breakdown, nice, shares, stacked
from gatekeeper.journal.questions import Count
from gatekeeper.journal.questions import Share as LogShare

RESULTS = ["success", "failure", "blocked"]


def chart_of(*counts: Count, bars: int = 3) -> Chart:
    """Bars of an hour from the hour 10 on."""
    return stacked(counts, RESULTS, since=36_000.0, step=3600.0, bars=bars)


def test_a_chart_of_nothing_has_empty_bars_and_a_scale():
    chart = chart_of()
    assert [(bar.start, bar.end, bar.total, bar.parts) for bar in chart.bars] == [
        *((36_000.0, 39_600.0, 0, []), (39_600.0, 43_200.0, 0, []), (43_200.0, 46_800.0, 0, []))
    ]
    assert (chart.most, chart.totals) == (1, {"success": 0, "failure": 0, "blocked": 0})


def test_parts_of_a_bar_stand_on_one_another_in_the_order_of_results():
    chart = chart_of(
        Count(36_000.0, ("blocked",), 1, 1), Count(36_000.0, ("success",), 5, 0), Count(37_800.0, ("success",), 1, 0)
    )
    assert chart.most == 8
    assert chart.bars[0] == Bar(36_000.0, 39_600.0, 8, [Part("success", 6, 25.0, 75.0), Part("blocked", 2, 0.0, 25.0)])
    assert chart.totals == {"success": 6, "failure": 0, "blocked": 2}


@pytest.mark.parametrize("start", [35_999.0, 46_800.0, 10.0])
def test_what_is_outside_of_the_chart_is_left_out(start):
    assert chart_of(Count(start, ("success",), 9, 0)).totals["success"] == 0


def test_a_result_that_has_no_place_in_the_chart_is_left_out():
    assert chart_of(Count(36_000.0, ("odd",), 9, 0)).most == 1


@pytest.mark.parametrize("attempts", [1, 3, 7, 999, 10**12 + 1])
def test_no_bar_is_higher_than_the_chart(attempts):
    chart = chart_of(*(Count(36_000.0, (result,), attempts, 0) for result in RESULTS), bars=1)
    (bar,) = chart.bars
    assert min(part.top for part in bar.parts) >= 0
    assert sum(part.height for part in bar.parts) <= 100.001
    assert [round(part.top + part.height, 2) for part in bar.parts[1:]] == [
        round(part.top, 2) for part in bar.parts[:-1]
    ]


@pytest.mark.parametrize(
    ("value", "scale"),
    [(0, 1), (1, 1), (2, 2), (3, 3), (7, 8), (9, 10), (10, 10), (11, 20), (501, 600), (10**12 + 1, 2 * 10**12)],
)
def test_a_scale_ends_at_a_round_number(value, scale):
    assert nice(value) == scale


class TestShares:
    """Breakdowns."""

    def test_the_largest_come_first_and_equals_by_name(self):
        assert shares({"b": 1, "a": 1, "c": 4}) == [Share("c", 4, 100.0), Share("a", 1, 25.0), Share("b", 1, 25.0)]

    def test_the_rest_is_one_line_at_the_end(self):
        found = shares(dict.fromkeys("abcdefgh", 10), most=3)
        assert [(one.value, one.attempts) for one in found] == [("a", 10), ("b", 10), ("others", 60)]
        assert max(one.part for one in found) == 100.0

    def test_as_many_as_there_is_room_for_are_all_named(self):
        assert [one.value for one in shares(dict.fromkeys("abc", 1), most=3)] == ["a", "b", "c"]

    @pytest.mark.parametrize("counts", [{}, {"a": 0}])
    def test_nothing_is_no_division_by_it(self, counts):
        assert all(one.part == 0 for one in shares(counts))

    def test_shares_of_the_login_log_keep_their_order_with_the_rest_last(self):
        found = breakdown([LogShare(None, 8), LogShare("Chrome", 4), LogShare("", 2)])
        assert found == [Share("Chrome", 4, 50.0), Share("unknown", 2, 25.0), Share("others", 8, 100.0)]
        assert breakdown([]) == []
