"""Seals over the audit log: what was changed afterwards is found and named, by a key that is not in the database."""

import asyncio
from dataclasses import replace

import pytest
from factories import NOW

from gatekeeper.clock import ManualClock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.sealing import Entry, Head, Sealer, seal_entries, verify

KEY = b"k" * 32


def entry(number, **changes):
    said = {
        "time": 1_800_000_000_000_000 + number,
        "actor": "cli:root",
        "action": "user.lock",
        "subject": "ada",
        "before": '{"locked": false}',
        "after": '{"locked": true}',
        "address": "192.0.2.1",
        "request_id": None,
    }
    return Entry(number, **(said | changes))


class Log:
    """Entries and seals, as lists; the newest seal's head beside them."""

    def __init__(self, count=0):
        self.rows = {number: entry(number) for number in range(1, count + 1)}
        self.sealed = []
        self.known = None
        self.down = False

    async def waits(self):
        if self.down:
            raise StoreUnavailable("postgres", "is down for a test")
        return bool(self._waiting())

    def _waiting(self):
        last = self.sealed[-1].last_id if self.sealed else 0
        return [row for number, row in sorted(self.rows.items()) if number > last]

    async def seal(self, make, most):
        waiting = self._waiting()[:most]
        if not waiting:
            return None
        self.sealed.append(make(self.sealed[-1] if self.sealed else None, waiting))
        return self.sealed[-1]

    async def find(self, number):
        return next((seal for seal in self.sealed if seal.number == number), None)

    async def seals(self):
        for seal in list(self.sealed):
            yield seal

    async def entries(self, after, last):
        return [row for number, row in sorted(self.rows.items()) if after < number <= last]

    async def remember(self, head):
        self.known = head

    async def head(self):
        return self.known


def sealer(log, key=KEY):
    return Sealer(log, log, key, ManualClock())


async def sealed(*counts):
    """A log of as many seals, each over so many entries."""
    log = Log()
    for count in counts:
        first = max(log.rows, default=0) + 1
        log.rows |= {number: entry(number) for number in range(first, first + count)}
        await sealer(log).seal()
    return log


async def faults(log, heads=(), key=KEY):
    return (await verify(log, key, heads, max(log.rows, default=0))).faults


async def test_what_nobody_touched_holds():
    log = await sealed(3, 2, 1)
    log.rows[7] = entry(7)
    found = await verify(log, KEY, [log.known], 7)
    assert (found.faults, found.seals, found.entries, found.waiting) == ([], 3, 6, 1)
    assert (found.newest.number, found.newest.hash) == (log.known.number, log.known.hash)
    assert (await verify(Log(), KEY, [], 0)).faults == []


@pytest.mark.parametrize(
    "change",
    [
        {"time": 1},
        {"actor": "cli:eve"},
        {"action": "user.unlock"},
        {"subject": "eve"},
        {"before": None},
        {"after": '{"locked": false}'},
        {"address": None},
        {"request_id": "r"},
    ],
)
async def test_a_changed_entry_is_named_whatever_was_changed(change):
    log = await sealed(3, 2)
    log.rows[2] = replace(log.rows[2], **change)
    (fault,) = await faults(log)
    assert fault.startswith("entry 2 was changed (seal 1)")


async def test_what_stands_in_one_field_does_not_pass_for_another():
    moved = entry(1, before=None, after='{"locked": false}')
    assert moved.digest() != entry(1, before='{"locked": false}', after=None).digest()
    assert entry(1, actor="a", action="bc").digest() != entry(1, actor="ab", action="c").digest()


async def test_a_removed_and_a_slipped_in_entry_are_named():
    log = await sealed(3)
    log.rows |= {9: entry(9)}
    await sealer(log).seal()
    del log.rows[2]
    log.rows[5] = entry(5)
    assert await faults(log) == ["entry 2 is gone (seal 1)", "entry 5 was put in later (seal 2)"]


async def test_a_removed_seal_is_named_and_the_others_still_speak():
    log = await sealed(2, 2, 2, 2)
    del log.sealed[1]
    assert await faults(log) == ["seal 2 missing"]
    del log.sealed[1], log.rows[8]
    assert await faults(log) == ["seals 2 to 3 missing", "entry 8 is gone (seal 4)"]


async def test_the_first_seal_cannot_go_unseen():
    log = await sealed(2, 2)
    del log.sealed[0], log.rows[1], log.rows[2]
    assert await faults(log) == ["seal 1 missing"]


async def test_the_newest_seals_with_all_they_covered_are_missed_by_whoever_remembers_them():
    log = await sealed(2, 2, 2)
    del log.sealed[2], log.rows[5], log.rows[6]
    assert await faults(log) == []
    assert await faults(log, [log.known]) == ["seal 3, which was remembered, is gone, and what it covered with it"]


async def test_another_seal_in_the_place_of_the_remembered_one_is_named():
    log = await sealed(2, 2)
    assert await faults(log, [Head(2, bytes(32)), log.known]) == ["seal 2 is not the one that was remembered"]


async def test_without_the_secret_nobody_can_seal_a_changed_entry_anew():
    log = await sealed(2, 2)
    log.rows[3] = entry(3, actor="cli:eve")
    forged = seal_entries(b"guessed" * 5, log.sealed[0], [log.rows[3], log.rows[4]], NOW)
    log.sealed[1] = forged
    assert await faults(log) == ["seal 2 was changed, or made without the gate's secret"]


@pytest.mark.parametrize(
    "change", [{"last_id": 9}, {"entries": b""}, {"entries": b"x"}, {"previous": b"x"}, {"sealed_at": 1}]
)
async def test_a_changed_seal_is_named(change):
    log = await sealed(2, 2)
    log.sealed[0] = replace(log.sealed[0], **change)
    assert "seal 1 was changed, or made without the gate's secret" in await faults(log)


async def test_a_chain_put_together_of_good_seals_does_not_hold():
    log, other = await sealed(2, 2), await sealed(1, 3)
    log.sealed[1] = other.sealed[1]
    assert "seal 2 does not go on from seal 1" in await faults(log)


async def test_many_entries_take_several_seals():
    log = Log(2500)
    assert await sealer(log).seal() == 3
    assert [seal.last_id for seal in log.sealed] == [1000, 2000, 2500]
    assert await faults(log) == []
    assert await sealer(log).seal() == 0


async def test_a_remembered_seal_that_is_gone_is_said_before_another_takes_its_place(caplog):
    log = await sealed(2, 2)
    log.known = Head(1, b"another")
    log.rows[5] = entry(5)
    await sealer(log).seal()
    assert "a seal of the audit log that was remembered is gone" in caplog.text
    assert log.known == Head(3, log.sealed[2].hash)


async def test_an_outage_leaves_the_entries_for_the_next_time():
    log, naps = Log(2), []

    async def sleep(seconds):
        naps.append(seconds)
        log.down = len(naps) == 1
        if len(naps) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await sealer(log).run(sleep)
    assert (len(log.sealed), naps) == (1, [10.0] * 3)
