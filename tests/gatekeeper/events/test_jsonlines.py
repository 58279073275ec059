"""Events as lines of a file."""

import json
import stat

import pytest
from factories import NOW

from gatekeeper.events.event import Event
from gatekeeper.events.hub import Undelivered
from gatekeeper.events.jsonlines import HOST, JsonLines
from gatekeeper.events.names import Wanted


def _event(name, **data):
    return Event(name, "e1", NOW, data)


async def test_what_is_wanted_is_a_line_each_and_the_file_is_nobody_elses(tmp_path):
    path = tmp_path / "events.jsonl"
    await JsonLines(path, Wanted(["login.*"])).take([_event("login.failure", a=1), _event("user.lock")])
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "schema": 1,
        "gate": HOST,
        "type": "login.failure",
        "id": "e1",
        "time": "2027-01-15T08:00:00.000Z",
        "data": {"a": 1},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_whatever_a_client_sent_a_line_is_one_line(tmp_path):
    """security 28"""
    path = tmp_path / "events.jsonl"
    hostile = "a\nb\r\u2028c\u202e\x1b[2J"
    await JsonLines(path, Wanted(["*"])).take([_event("login.failure", email=hostile)])
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert json.loads(data)["data"]["email"] == hostile
    assert len(data.decode().splitlines()) == 1


async def test_a_renamed_file_is_followed_by_a_new_one(tmp_path):
    path = tmp_path / "events.jsonl"
    lines = JsonLines(path, Wanted(["*"]))
    await lines.take([_event("user.lock")])
    path.rename(tmp_path / "events.jsonl.1")
    await lines.take([_event("user.unlock")])
    assert json.loads(path.read_text())["type"] == "user.unlock"


async def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(Undelivered, match="nowhere"):
        await JsonLines(tmp_path / "nowhere" / "x", Wanted(["*"])).take([_event("user.lock")])
