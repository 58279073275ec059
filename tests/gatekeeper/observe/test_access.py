"""observe.access: a line a request, without its secrets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

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
