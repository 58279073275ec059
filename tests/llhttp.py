"""The requests of llhttp's own test suite (tests/data/llhttp, MIT), for the tests of both kinds of connection."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CASES = json.loads((Path(__file__).parent / "data" / "llhttp" / "requests.json").read_text())

# The parser pauses after these: they are well-formed, and whether they are served is the handler's business.
PAUSES_FOR_UPGRADE = 22
# The first message is good and the second follows its ``Connection: close``.
AFTER_CLOSE = 5


def variants(case: dict[str, Any]) -> list[bytes]:
    """As it stands, and with the Host that most cases lack, so that the verdict is not Host's alone."""
    raw = case["raw_latin1"].encode("latin-1")
    found = [raw]
    if not re.search(rb"\nhost *:", raw, re.IGNORECASE):
        line, end, rest = raw.partition(b"\r\n")
        found.append(line + end + b"Host: a.example\r\n" + rest)
    return found


def titled(cases: list[dict[str, Any]]) -> dict[str, Any]:
    return {"argvalues": cases, "ids": [f"{number}-{case['title']}" for number, case in enumerate(cases)]}


MUST_FAIL = [case for case in CASES if case["type"] == "request" and not case["ok"]]
GOOD = [case for case in CASES if case["type"] == "request" and case["ok"]]
LENIENT = [case for case in CASES if case["lenient"]]


def is_upgrade(case: dict[str, Any]) -> bool:
    return case["error_code"] == PAUSES_FOR_UPGRADE and not case["raw_latin1"].startswith("CONNECT")
