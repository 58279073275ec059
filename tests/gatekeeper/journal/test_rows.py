"""gatekeeper/journal/rows.py: attempts as rows of JSON and back."""

from __future__ import annotations

import dataclasses
import json

from attempts import full_attempt

from gatekeeper.journal.rows import COLUMNS, as_row, flat, from_row, public


def test_an_attempt_comes_back_as_it_was():
    attempt = full_attempt()
    assert from_row(json.loads(json.dumps(as_row(attempt)))) == attempt


def test_every_field_is_set_in_the_example():
    unset = [name for name in COLUMNS if getattr(full_attempt(), name) in (None, ())]
    assert unset == []


def test_text_that_postgres_refuses_is_made_fit_and_bounded():
    attempt = dataclasses.replace(
        full_attempt(),
        email="a\x00b\ud800" + "c" * 300,
        user_agent="u" * 9000,
        evidence={"odd\x00": ["\ud800", {"deep": "\x00"}]},
    )
    row = as_row(attempt)
    assert row["email"].startswith("a\ufffdb?c")
    assert (len(row["email"]), len(row["user_agent"])) == (254, 512)
    assert row["evidence"] == {"odd\ufffd": ["?", {"deep": "\ufffd"}]}


def test_a_row_for_programs_says_all_and_can_be_turned_back():
    row = as_row(full_attempt())
    shown = public(full_attempt())
    assert shown["place"] == {
        "region": "Hamburg",
        "city": "Hamburg",
        "latitude": 53.55,
        "longitude": 9.99,
        "accuracy_km": 20.0,
    }
    assert shown["device"]["kind"] == "desktop"
    assert (shown["time"], shown["as_org"]) == ("2027-01-15T08:00:00.000000Z", "Example Net")
    assert flat(shown) == {**row, "time": shown["time"]}
    assert from_row(flat(shown)) == full_attempt()
