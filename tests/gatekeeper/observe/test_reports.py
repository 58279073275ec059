"""What rules that only report would have done is logged, but no flood of requests makes many lines."""

import logging

import pytest
from factories import NOW

from gatekeeper.observe.reports import EVERY, SHOWN, ReportLines
from policies.model import Reason, Report, Verdict

DENIED = Report("trial", Verdict.DENY, Reason.RULE_DENIED)


@pytest.fixture(autouse=True)
def _all_lines(caplog):
    caplog.set_level(logging.INFO, "gatekeeper.entrance")


def write(lines, times, report=DENIED, now=NOW):
    for number in range(times):
        lines.write(report, "/x", f"r{number}", now)


def test_a_line_says_which_rule_would_have_done_what_and_to_which_request(caplog):
    ReportLines().write(DENIED, "/x", "r1", NOW)
    (line,) = caplog.records
    said = (line.rule, line.would, line.reason, line.path, line.request_id)
    assert said == ("trial", "deny", "rule-denied", "/x", "r1")
    assert not hasattr(line, "left_out")


def test_a_flood_shows_some_lines_and_then_how_many_were_left_out(caplog):
    lines = ReportLines()
    write(lines, 1000)
    assert len(caplog.records) == SHOWN
    write(lines, 1, now=NOW + EVERY - 0.1)
    assert len(caplog.records) == SHOWN
    write(lines, 2, now=NOW + EVERY)
    *_, first, second = caplog.records
    assert len(caplog.records) == SHOWN + 2
    assert first.left_out == 1000 - SHOWN + 1
    assert not hasattr(second, "left_out")


def test_each_rule_verdict_and_reason_has_its_own_lines(caplog):
    lines = ReportLines()
    allowed = Report("trial", Verdict.ALLOW, None)
    other = Report("other", Verdict.DENY, Reason.RULE_DENIED)
    for report in (DENIED, allowed, other):
        write(lines, 50, report)
    assert len(caplog.records) == 3 * SHOWN


def test_a_clock_that_goes_back_shows_lines_again(caplog):
    lines = ReportLines()
    write(lines, 50)
    write(lines, 1, now=NOW - 3600)
    assert len(caplog.records) == SHOWN + 1
