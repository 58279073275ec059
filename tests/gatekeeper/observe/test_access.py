"""observe.access: a line a request, without its secrets."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from gatekeeper.observe import logging
from gatekeeper.observe.access import AccessEntry, AccessLog
from policies.model import Reason

ENTRY = AccessEntry(
    time=1_800_000_000.25,
    request_id="1a2b",
    client="203.0.113.9",
    method="GET",
    host="app.example.org",
    path="/reports/1",
    status=403,
    size=88,
    seconds=0.01234,
    user="u1",
    reason=Reason.RULE_DENIED,
    rule="reports",
    upstream="api",
)


class Kept:
    """Lines kept in a list."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_json_line_has_every_field(kept: Kept) -> None:
    AccessLog(kept, format="json").write(ENTRY)
    (line,) = kept.lines
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "request_id": "1a2b",
        "client": "203.0.113.9",
        "method": "GET",
        "host": "app.example.org",
        "path": "/reports/1",
        "status": 403,
        "bytes": 88,
        "ms": 12.34,
        "user": "u1",
        "reason": "rule-denied",
        "rule": "reports",
        "upstream": "api",
    }


def test_text_line_leaves_out_what_is_unknown(kept: Kept) -> None:
    AccessLog(kept, format="text").write(replace(ENTRY, user=None, reason=None, rule=None, upstream=None))
    assert kept.lines == [
        b"2027-01-15T08:00:00.250Z ACCESS  403 GET app.example.org/reports/1 12.3ms 88B 203.0.113.9 id=1a2b\n"
    ]


def test_time_goes_on_from_line_to_line(kept: Kept) -> None:
    log = AccessLog(kept, format="json")
    for time in (1_800_000_000.999, 1_800_000_001.0, 1_799_999_999.5):
        log.write(replace(ENTRY, time=time))
    times = [json.loads(line)["time"] for line in kept.lines]
    assert times == ["2027-01-15T08:00:00.999Z", "2027-01-15T08:00:01.000Z", "2027-01-15T07:59:59.500Z"]


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/_gate/setup/s3cret", "/_gate/setup/***"),
        ("/_gate/setup/s3cret/more", "/_gate/setup/***"),
        ("/_gate/reset?token=s3cret", "/_gate/reset"),
        ("/any?token=s3cret", "/any"),
        ("/setup/shown", "/setup/shown"),
    ],
)
def test_secrets_in_paths_are_masked(kept: Kept, form: str, path: str, shown: str) -> None:
    AccessLog(kept, format=form, prefix="/_gate").write(replace(ENTRY, path=path))
    (line,) = kept.lines
    assert b"s3cret" not in line
    assert shown in line.decode()


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("field", ["path", "host", "method", "client", "user"])
@pytest.mark.parametrize("raw", ["", "\udc80"])  # the second cannot be written as UTF-8
def test_line_stays_one_printable_line(kept: Kept, form: str, field: str, raw: str) -> None:
    """security 28"""
    hostile = "/x\r\nGET /forged\x00\x1b[1A\x7f\u202e\u2028\x85"
    AccessLog(kept, format=form).write(replace(ENTRY, **{field: hostile + raw}))
    (line,) = kept.lines
    assert line.endswith(b"\n")
    assert line.decode()[:-1].isprintable()


def test_overlong_path_is_cut(kept: Kept) -> None:
    AccessLog(kept, format="json").write(replace(ENTRY, path="/" + "x" * 100_000))
    assert len(kept.lines[0]) < 4_000


def test_common_and_combined_lines_are_those_of_apache(kept: Kept) -> None:
    headers = {"Referer": "https://u:p@a.example/x?token=s3cret#s3cret", "User-Agent": 'agent "7"'}
    log, entry = AccessLog(kept, format="common"), replace(ENTRY, headers=headers)
    log.write(entry)
    log.write(replace(entry, user=None, size=0, status=204))
    AccessLog(kept, format="combined").write(entry)
    AccessLog(kept, format="combined").write(replace(entry, headers={}))
    common = b'203.0.113.9 - u1 [15/Jan/2027:08:00:00 +0000] "GET /reports/1 HTTP/1.1" 403 88'
    assert kept.lines == [
        common + b"\n",
        b'203.0.113.9 - - [15/Jan/2027:08:00:00 +0000] "GET /reports/1 HTTP/1.1" 204 -\n',
        common + b' "https://a.example/x" "agent \\"7\\""\n',
        common + b' "-" "-"\n',
    ]


COMBINED = re.compile(
    r'(\S+) - (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\n'
)


@pytest.mark.parametrize("field", ["path", "method", "client", "user", "Referer", "User-Agent"])
def test_nothing_in_a_combined_line_ends_its_field(kept: Kept, field: str) -> None:
    """security 28"""
    hostile = (
        '/x" 200 1 "-" "-"\r\n203.0.113.1 - - [x] "GET / HTTP/1.1" 200 1 \\" \\\x00\x1b[1A\x7f\u202e\u2028\x85\udc80'
    )
    entry = replace(ENTRY, **{field: hostile}) if field.islower() else replace(ENTRY, headers={field: hostile})
    AccessLog(kept, format="combined").write(entry)
    (line,) = kept.lines
    assert line.decode()[:-1].isprintable()
    assert COMBINED.fullmatch(line.decode())


@pytest.mark.parametrize("referer", ["https://a.example/_gate/setup/s3cret", "/_gate/reset/s3cret?x", "s3cret?s3cret"])
def test_secrets_in_a_referer_are_masked(kept: Kept, referer: str) -> None:
    AccessLog(kept, format="combined").write(replace(ENTRY, headers={"Referer": referer}))
    assert kept.lines[0].count(b"s3cret") == (1 if referer.startswith("s3cret") else 0)


@pytest.mark.parametrize(("sample", "written"), [(0.1, 10), (0.25, 25), (0, 0), (1, 100), (0.3, 30)])
def test_a_sample_is_a_share_of_what_went_well(kept: Kept, sample: float, written: int) -> None:
    log = AccessLog(kept, format="json", sample=sample)
    assert abs(sum(log.wants(200, None) for _ in range(100)) - written) <= 1


def test_what_was_refused_or_failed_is_always_written(kept: Kept) -> None:
    log = AccessLog(kept, format="json", sample=0)
    assert all(log.wants(status, None) for status in (400, 401, 403, 404, 429, 499, 500, 503))
    assert log.wants(200, Reason.UPSTREAM_UNAVAILABLE)  # broke off
    assert not any(log.wants(status, None) for status in (200, 204, 302, 304))


def test_the_form_is_the_one_of_the_other_lines_unless_named(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure("text")
    try:
        assert AccessLog.standard(prefix="/_gate", form="off") is None
        for form in ("auto", "json", "common"):
            log = AccessLog.standard(prefix="/_gate", form=form)
            assert log is not None
            log.write(ENTRY)
    finally:
        logging.close()
    first, second, third = capsys.readouterr().err.splitlines()
    assert " ACCESS " in first
    assert json.loads(second)["status"] == 403
    assert third.startswith("203.0.113.9 - u1 [")
