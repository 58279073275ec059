"""gatekeeper/journal/drain.py: what happens when the database is away, slow to say so, or refuses a row."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal import drain as module
from gatekeeper.journal.drain import Drain, RowsRefused
from gatekeeper.journal.records import ATTEMPT, Batch
from gatekeeper.journal.spool import Spool

PATIENCE = 60.0


class StoreFake:
    """A database of lists that keeps places as the real one does; ``faults`` are raised before or after a commit."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.places: dict[object, int] = {}
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.refused = b""
        self.calls = 0

    async def write(self, batch: Batch) -> int:
        self.calls += 1
        if self.before:
            raise self.before.pop()
        if self.places.get(batch.segment, 0) != batch.since:
            return self.places.get(batch.segment, 0)
        if self.refused and self.refused in batch.of(ATTEMPT):
            raise RowsRefused("22P02: invalid")
        self.places[batch.segment] = batch.until
        self.rows += batch.of(ATTEMPT)
        if self.after:
            raise self.after.pop()
        return batch.until


@pytest.fixture
def store():
    return StoreFake()


@pytest.fixture
async def spool(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAUSES", (0.0,))
    spool = Spool(tmp_path / "spool", sync=False, most=1 << 30)
    yield spool
    await spool.close()


@pytest.fixture
async def drain(spool, store, tmp_path):
    drain = Drain(spool, store, tmp_path / "rejected.jsonl", linger=0.0)
    task = asyncio.create_task(drain.run())
    yield drain
    task.cancel()
    await asyncio.wait([task])


async def settled(drain: Drain) -> None:
    async with asyncio.timeout(PATIENCE):
        await drain.settle()


async def test_what_is_recorded_while_the_database_is_away_arrives_once(spool, drain, store):
    store.before = [StoreUnavailable("postgres", "away") for _ in range(20)]
    for number in range(10):
        await spool.append(ATTEMPT, b"%d" % number)
    await settled(drain)
    assert store.rows == [b"%d" % number for number in range(10)]


async def test_a_write_of_which_nobody_knows_whether_it_happened_is_not_made_twice(spool, drain, store):
    store.after = [StoreUnavailable("postgres", "the answer was lost") for _ in range(5)]
    for number in range(10):
        await spool.append(ATTEMPT, b"%d" % number)
        await settled(drain)
    assert store.rows == [b"%d" % number for number in range(10)]


async def test_a_row_that_is_refused_is_put_aside_and_keeps_no_other_back(spool, store, tmp_path):
    store.refused = b'{"n":3}'
    for number in range(8):
        await spool.append(ATTEMPT, orjson.dumps({"n": number}))
    drain = Drain(spool, store, tmp_path / "rejected.jsonl", linger=0.0)
    task = asyncio.create_task(drain.run())
    await settled(drain)
    task.cancel()
    await asyncio.wait([task])
    assert [orjson.loads(row)["n"] for row in store.rows] == [0, 1, 2, 4, 5, 6, 7]
    assert (tmp_path / "rejected.jsonl").read_bytes() == b'{"n":3}\n'


async def test_what_a_dead_worker_left_arrives_without_what_was_written_of_it(tmp_path, store, monkeypatch):
    dead = Spool(tmp_path / "spool", sync=False, most=1 << 30)
    for number in range(6):
        await dead.append(ATTEMPT, b"%d" % number)
    found = await dead.next_batch()
    assert found is not None
    await store.write(found[1].halves()[0])  # and then it was killed
    await dead.close()
    spool = Spool(tmp_path / "spool", sync=False, most=1 << 30)
    drain = Drain(spool, store, tmp_path / "rejected.jsonl", linger=0.0)
    task = asyncio.create_task(drain.run())
    await spool.adopt()
    await settled(drain)
    task.cancel()
    await asyncio.wait([task])
    assert store.rows == [b"%d" % number for number in range(6)]
    await spool.close()
    assert list((tmp_path / "spool").iterdir()) == []
