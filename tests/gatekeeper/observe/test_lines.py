"""observe.lines: nothing waits for the log, and lines stay whole."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from gatekeeper.observe.lines import LineWriter, escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, näive 日本", "plain text, näive 日本"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x00\x7f\x85", "\\u001b[2J\\u0000\\u007f\\u0085"),
        ("a\u202eb\u2066\u200f", "a\\u202eb\\u2066\\u200f"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("raw \udc80", "raw \\udc80"),
    ],
)
def test_whatever_ends_or_disguises_a_line_is_escaped(text: str, shown: str) -> None:
    """security 28"""
    assert escaped(text) == shown


def test_slow_reader_holds_nobody_up_and_is_told_what_it_missed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        writer = LineWriter(stream, most_waiting=10_000)
        line = b"x" * 99 + b"\n"
        began = time.monotonic()
        for _ in range(20_000):  # 2 MB: more than the pipe and the buffer hold
            writer.write(line)
        assert time.monotonic() - began < 30
        assert writer.dropped > 0
        received = bytearray()
        reader = threading.Thread(target=lambda: received.extend(read_all(reading)))
        reader.start()
        writer.write(b"more\n") if writer.dropped else None
        writer.close(timeout=30)
        dropped = writer.dropped
    reader.join(30)
    lines = received.decode().splitlines()
    told = [one for one in lines if "log lines were dropped" in one]
    assert sum(int(one.split()[0]) for one in told) == dropped
    assert set(lines) - set(told) <= {"x" * 99, "more"}


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def test_lines_of_several_writers_on_one_pipe_stay_whole() -> None:
    """As the workers of one gate share standard error."""
    reading, writing = os.pipe()
    received = bytearray()
    reader = threading.Thread(target=lambda: received.extend(read_all(reading)))
    reader.start()
    with os.fdopen(writing, "w") as stream:
        writers = [LineWriter(stream) for _ in range(4)]
        for number in range(2_000):
            for mark, writer in zip(b"abcd", writers, strict=True):
                writer.write(bytes([mark]) * (1 + number % 700) + b"\n")
        for writer in writers:
            writer.close(timeout=30)
    reader.join(30)
    lines = received.decode().splitlines()
    assert len(lines) == 8_000
    assert all(len(set(line)) == 1 for line in lines)


def test_reader_that_went_away_harms_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        writer = LineWriter(stream)
        writer.write(b"unheard\n")
        writer.close(timeout=30)
        assert writer.dropped == 1


def test_overlong_line_is_cut_and_still_ends(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream, closing(LineWriter(stream)) as writer:
        writer.write("é".encode() * 100_000 + b"\n")
        writer.write(b"next\n")
        writer.close(timeout=30)
    long, following = (tmp_path / "log").read_text().splitlines()
    assert len(long.encode()) <= 64 << 10
    assert following == "next"
