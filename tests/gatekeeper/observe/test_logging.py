"""observe.logging: one line an event, for machines and for people."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.observe import logging as lines

Read = Callable[[], str]


@pytest.fixture(autouse=True)
def afterwards_as_before() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    lines.close()
    logging.getLogger().setLevel(level)


class Log:
    """A log that ends in a file."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self._path = path
        self._stream = path.open("w")
        self.output = lines.configure(stream=self._stream, **settings)

    def lines(self) -> list[str]:
        lines.close()
        self._stream.close()
        return self._path.read_text().split("\n")[:-1]


@pytest.fixture
def json_log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", format="json", level="debug")


@pytest.fixture
def text_log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", format="text", level="info")


HOSTILE = 'x\r\n{"level":"info"}\x00\x1b[1A\u202e\u2028\x85\udc80'


def test_event_is_a_json_object_with_its_extras(json_log: Log) -> None:
    logging.getLogger("gatekeeper.x").warning("took %d s", 3, extra={"store": "redis"})
    (line,) = json_log.lines()
    entry = json.loads(line)
    assert entry["time"].endswith("Z")
    del entry["time"], entry["pid"]
    assert entry == {"level": "warning", "logger": "gatekeeper.x", "message": "took 3 s", "store": "redis"}


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_a_client_sent_never_starts_a_line(tmp_path: Path, form: str) -> None:
    """security 28"""
    log = Log(tmp_path / "log", format=form)
    logging.getLogger("x").info("said %s", HOSTILE, extra={"agent": HOSTILE})
    (line,) = log.lines()
    assert line.isprintable()
    assert "said x" in line


def test_traceback_is_one_json_field(json_log: Log) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = json_log.lines()
    entry = json.loads(line)
    assert entry["message"] == "failed"
    assert "ValueError" in str(entry)
    assert line.isprintable()


def test_traceback_is_indented_for_people(text_log: Log) -> None:
    try:
        raise ValueError("a fault")
    except ValueError:
        logging.getLogger("x").exception("failed")
    first, *trace = text_log.lines()
    assert first.endswith("ERROR   x failed")
    assert trace[-1] == "    ValueError: a fault"
    assert all(line.startswith("    ") for line in trace)


def test_level_holds(text_log: Log) -> None:
    logging.getLogger("x").debug("not this")
    logging.getLogger("x").info("this")
    assert [line.split()[-1] for line in text_log.lines()] == ["this"]


def test_overlong_message_is_cut(json_log: Log) -> None:
    logging.getLogger("x").info("x" * 1_000_000)
    (line,) = json_log.lines()
    assert len(line) < 10_000


def test_warnings_of_python_are_logged(json_log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        lines.configure("json", stream=json_log._stream)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = json_log.lines()
    assert "DeprecationWarning: old" in json.loads(line)["message"]


def test_extra_cannot_replace_what_the_log_says_itself(json_log: Log) -> None:
    logging.getLogger("x").info("real", extra={"level": "forged", "time": "never"})
    (line,) = json_log.lines()
    assert json.loads(line)["level"] == "info"


def test_auto_is_json_where_nobody_looks_and_text_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert lines.configure("auto", stream=io.StringIO()).format == "json"
    assert lines.configure("auto", stream=Terminal()).format == "text"


def test_configuring_again_replaces_the_output(tmp_path: Path, json_log: Log) -> None:
    second = Log(tmp_path / "second", format="json")
    logging.getLogger("x").info("once")
    assert len(second.lines()) == 1
    assert json_log.lines() == []
