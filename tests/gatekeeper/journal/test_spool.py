"""gatekeeper/journal/spool.py, segments.py and records.py: on a real disk, with what crashes leave there."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.records import ATTEMPT, DAMAGED, SUPPRESSED, decode, encode
from gatekeeper.journal.segments import create, orphans
from gatekeeper.journal.spool import Spool

MUCH = 1 << 30


@pytest.fixture
async def spool(tmp_path):
    spool = Spool(tmp_path / "spool", sync=False, most=MUCH)
    yield spool
    await spool.close()


async def taken(spool: Spool) -> list[bytes]:
    """All that waits, as a database takes it."""
    found = []
    while (next_one := await spool.next_batch()) is not None:
        segment, batch = next_one
        found += [entry.json for entry in batch.entries]
        spool.written(segment, batch.until, len(batch.entries))
    return found


async def test_what_is_appended_at_once_comes_out_in_order_and_once(spool):
    assert spool.empty
    await asyncio.gather(*(spool.append(ATTEMPT, b"%d" % number) for number in range(100)))
    assert (spool.waiting, spool.empty) == (100, False)
    assert await taken(spool) == [b"%d" % number for number in range(100)]
    assert (spool.waiting, spool.empty) == (0, True)
    assert await taken(spool) == []


async def test_a_file_that_is_full_makes_place_for_another_and_goes_once_it_is_drained(tmp_path):
    spool = Spool(tmp_path, sync=True, most=MUCH, segment=100)
    for number in range(30):
        await spool.append(ATTEMPT, b"%032d" % number)
    assert len(list(tmp_path.iterdir())) > 5
    assert [int(json) for json in await taken(spool)] == list(range(30))
    assert len(list(tmp_path.iterdir())) == 1
    await spool.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_closed_spool_leaves_what_waits_to_the_next(tmp_path):
    first, second = (Spool(tmp_path, sync=False, most=MUCH) for _ in range(2))
    await first.append(ATTEMPT, b"one")
    await second.adopt()
    assert await taken(second) == [], "its owner lives"
    await first.close()
    await second.append(ATTEMPT, b"two")
    await second.adopt()
    assert await taken(second) == [b"one", b"two"]
    await second.close()
    with pytest.raises(StoreUnavailable):
        await second.append(ATTEMPT, b"three")


async def test_a_killed_process_leaves_all_that_it_was_told_is_kept(tmp_path):
    text = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from gatekeeper.journal.spool import Spool
async def main():
    spool = Spool(Path(sys.argv[1]), sync=False, most=1 << 30)
    for number in range(10**9):
        await spool.append(b"A", b"%d" % number)
        print(number, flush=True)
asyncio.run(main())
"""
    told = await asyncio.to_thread(_told_by_a_killed_one, text, str(tmp_path))
    spool = Spool(tmp_path, sync=False, most=MUCH)
    await spool.adopt()
    found = [int(json) for json in await taken(spool)]
    assert found == list(range(len(found)))
    assert len(found) in {len(told), len(told) + 1}
    await spool.close()


async def test_a_line_that_a_crash_cut_off_was_never_answered_and_is_left_out(tmp_path):
    segment = create(tmp_path)
    os.write(segment.descriptor, encode(ATTEMPT, b"whole") + encode(ATTEMPT, b"torn")[:-3])
    segment.close()
    (found,) = orphans(tmp_path)
    assert [entry.json for entry in found.batch(1 << 16).entries] == [b"whole"]
    assert found.lines == 1
    found.remove()


def test_a_damaged_line_is_marked_and_the_others_are_good():
    first, second, third = encode(ATTEMPT, b'{"a":1}'), encode(SUPPRESSED, b"{}"), encode(ATTEMPT, b"[]")
    batch = decode(create_id(), 0, first + second.replace(b"{}", b"{ ") + b"\xff\n" + third)
    assert [(entry.kind, entry.json) for entry in batch.entries] == [
        (ATTEMPT, b'{"a":1}'),
        (DAMAGED, b""),
        (DAMAGED, b""),
        (ATTEMPT, b"[]"),
    ]


def test_a_batch_can_be_halved():
    lines = [encode(ATTEMPT, b"%d" % number) for number in range(3)]
    first, second = decode(create_id(), 100, b"".join(lines)).halves()
    assert (first.since, first.until, first.of(ATTEMPT)) == (100, 100 + len(lines[0]), [b"0"])
    assert (second.since, second.until, second.of(ATTEMPT)) == (first.until, 100 + 3 * len(lines[0]), [b"1", b"2"])


async def test_a_line_longer_than_a_batch_is_read_whole(tmp_path):
    segment = create(tmp_path)
    long = encode(ATTEMPT, b"x" * 5000)
    segment.append(long, sync=False)
    segment.end = len(long)
    assert segment.batch(100).of(ATTEMPT) == [b"x" * 5000]
    segment.remove()


async def test_a_full_disk_is_said_to_everyone_who_waits_and_spoils_nothing(spool):
    await spool.append(ATTEMPT, b"before")
    with full_disk():
        refused = await asyncio.gather(*(spool.append(ATTEMPT, b"y" * 9000) for _ in range(3)), return_exceptions=True)
    assert {str(one) for one in refused} == {"spool: File too large"}
    await spool.append(ATTEMPT, b"after")
    assert await taken(spool) == [b"before", b"after"]


async def test_what_the_database_has_is_soon_gone_from_the_disk(tmp_path):
    spool = Spool(tmp_path, sync=False, most=MUCH)
    await spool.append(ATTEMPT, b"ada@example.com")
    await spool.adopt()
    assert len(list(tmp_path.iterdir())) == 1, "it is not in the database yet"
    assert await taken(spool) == [b"ada@example.com"]
    await spool.adopt()
    assert await taken(spool) == []
    assert list(tmp_path.iterdir()) == []
    await spool.append(ATTEMPT, b"eve")
    assert await taken(spool) == [b"eve"]
    await spool.close()


async def test_no_more_waits_than_was_allowed(tmp_path):
    spool = Spool(tmp_path, sync=False, most=1000)
    await spool.append(ATTEMPT, b"z" * 2000)
    with pytest.raises(StoreUnavailable, match="full"):
        await spool.append(ATTEMPT, b"more")
    assert len(await taken(spool)) == 1
    await spool.append(ATTEMPT, b"more")
    await spool.close()


async def test_whoever_goes_away_while_waiting_keeps_nobody_else_from_the_disk(spool):
    gone = asyncio.create_task(spool.append(ATTEMPT, b"gone"))
    stays = asyncio.create_task(spool.append(ATTEMPT, b"stays"))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert await taken(spool) == [b"gone", b"stays"]


async def test_others_can_neither_read_nor_follow(tmp_path, spool):
    await spool.append(ATTEMPT, b"{}")
    (path,) = (tmp_path / "spool").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    other = path.with_name("0" * 8 + "-0000-4000-8000-000000000000.spool")
    other.symlink_to(path)
    await spool.adopt()
    assert len(await taken(spool)) == 1


def _told_by_a_killed_one(text: str, folder: str) -> list[bytes]:
    with subprocess.Popen([sys.executable, "-c", text, folder], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        return told + child.stdout.readlines()


def create_id() -> UUID:
    """Any file's id."""
    return UUID(int=1)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 8 KiB."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
