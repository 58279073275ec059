"""Watched files: read again once they changed and stand still; what is bad changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatekeeper.watch import WatchedFiles


class Watching:
    """A file watched, what was used of it, and what was told of each reading."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.used: list[str] = []
        self.told: list[bool] = []
        self.watched = WatchedFiles("key", [file], self.read, self.used.append, on_read=self.told.append)

    def read(self) -> str:
        text = self.file.read_text() if self.file.exists() else "bad"
        if text.startswith("bad"):
            raise ValueError(f"{self.file} is bad")
        return text

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.watched.look()


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    (tmp_path / "file").write_text("one")
    return Watching(tmp_path / "file")


async def test_a_changed_file_is_read_once(watching: Watching) -> None:
    await watching.look()
    assert watching.used == []
    watching.file.write_text("three")
    await watching.look(5)
    assert watching.used == ["three"]
    assert watching.told == [True, True]


async def test_a_file_is_read_when_it_stands_still(watching: Watching) -> None:
    """A certificate and its key are written one after the other."""
    for text in ("first", "second", "the third"):
        watching.file.write_text(text)
        await watching.look(1)
    assert watching.used == []
    await watching.look(1)
    assert watching.used == ["the third"]


async def test_a_bad_file_leaves_what_was_read_before(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    watching.file.write_text("bad one")
    await watching.look(5)
    assert (watching.used, watching.told) == ([], [True, False])
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert record.message == f"key: {watching.file} is bad; what was read before stays in force"
    watching.file.write_text("good again")
    await watching.look()
    assert (watching.used, watching.told) == (["good again"], [True, False, True])


async def test_a_file_that_vanishes_and_one_that_is_replaced_are_noticed(watching: Watching) -> None:
    times = (1_700_000_000, 1_700_000_000)
    os.utime(watching.file, times)
    await watching.look()
    watching.used.clear()
    watching.file.unlink()
    await watching.look()
    assert watching.told[-1] is False
    watching.file.write_text("one")
    os.utime(watching.file, times)
    await watching.look()
    assert watching.used == ["one"]


async def test_a_symbolic_link_that_moves_is_noticed(tmp_path: Path) -> None:
    """As a mounted secret of Kubernetes, or certbot's live folder."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a")
    watching = Watching(link)
    (tmp_path / "new").symlink_to(tmp_path / "b")
    (tmp_path / "new").replace(link)
    await watching.look()
    assert watching.used == ["b"]


async def test_it_can_be_read_again_unchanged(watching: Watching) -> None:
    await watching.watched.read_again()
    assert watching.used == ["one"]
