"""The audit log in PostgreSQL: it only grows, its seals hold, and entries are found again."""

import asyncio
from ipaddress import ip_address

import pytest
from factories import NOW

from gatekeeper.clock import ManualClock
from gatekeeper.journal.audit import Change
from gatekeeper.journal.sealing import Head, Sealer, verify
from gatekeeper.store.audit import Asked, AuditReader, PostgresSeals, RedisHeads
from gatekeeper.store.postgres import Postgres, QueryError
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis

KEY = b"k" * 32
OPENED = (
    "ALTER TABLE {0} DISABLE TRIGGER USER",
    "GRANT UPDATE, DELETE ON {0} TO CURRENT_USER",
)


@pytest.fixture
async def db(postgres_dsn):
    store = Postgres(postgres_dsn, size=10, timeout=30.0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def valkey(redis_url):
    store = Redis(redis_url, timeout=30.0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def sealer(db, valkey):
    return Sealer(PostgresSeals(db), RedisHeads(valkey), KEY, ManualClock())


def change(number, **more):
    said = {"time": NOW + number, "actor": "cli:root", "action": "user.lock", "subject": f"user-{number}"}
    more.setdefault("after", {"locked": True, "z": [1.5, None, "ü"], "a": {"b": 2}})
    return Change(**(said | more), address=ip_address("2001:db8::1"), request_id="r1")


async def write(db, *numbers, **more):
    for number in numbers:
        await PostgresJournal(db).record_change(change(number, **more))


async def found(db, valkey):
    seals, known = PostgresSeals(db), await RedisHeads(valkey).head()
    return await verify(seals, KEY, [known] if known else [], await seals.newest_id())


@pytest.mark.parametrize("table", ["audit_log", "audit_seals"])
@pytest.mark.parametrize("sql", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_gate_s_own_role_can_neither_change_nor_remove_what_was_written(db, sealer, table, sql):
    await write(db, 1)
    await sealer.seal()
    column = "actor" if table == "audit_log" else "hash"
    for _ in ("by right", "by trigger"):
        with pytest.raises(QueryError):
            await db.execute(sql.format(table, column, column))
        await db.execute(f"GRANT UPDATE, DELETE, TRUNCATE ON {table} TO CURRENT_USER")
    assert len(await db.fetch(f"SELECT FROM {table}")) == 1


async def test_what_was_written_holds_against_its_seals(db, valkey, sealer):
    await write(db, 1, 2)
    await write(db, 3, before={"x": "\u2028 ' \\ \""}, after=None)
    assert await sealer.seal() == 1
    await write(db, 4)
    assert await sealer.seal() == 1
    await write(db, 5)
    result = await found(db, valkey)
    assert (result.faults, result.seals, result.entries, result.waiting) == ([], 2, 4, 1)


async def test_whoever_takes_rights_and_triggers_away_and_changes_entries_is_found(db, valkey, sealer):
    await write(db, 1, 2, 3, 4)
    await sealer.seal()
    for sql in OPENED:
        await db.execute(sql.format("audit_log"))
    await db.execute("UPDATE audit_log SET actor = 'cli:eve' WHERE subject = 'user-2'")
    await db.execute("DELETE FROM audit_log WHERE subject = 'user-3'")
    assert (await found(db, valkey)).faults == [
        "entry 2 was changed (seal 1); it says user.lock by cli:eve",
        "entry 3 is gone (seal 1)",
    ]


async def test_whoever_removes_the_newest_entries_with_their_seals_is_found(db, valkey, sealer):
    for number in (1, 2):
        await write(db, number)
        await sealer.seal()
    for table in ("audit_log", "audit_seals"):
        for sql in OPENED:
            await db.execute(sql.format(table))
    await db.execute("DELETE FROM audit_seals WHERE number = 2")
    await db.execute("DELETE FROM audit_log WHERE id = 2")
    assert (await found(db, valkey)).faults == ["seal 2, which was remembered, is gone, and what it covered with it"]


async def test_no_entry_that_is_written_meanwhile_slips_under_a_seal(db, valkey, sealer):
    """An entry gets its id before it can be seen: a seal that did not wait for it would call it slipped in."""
    writing = True

    async def seal_all_the_time():
        while writing:
            await sealer.seal()
            await asyncio.sleep(0)

    sealing = asyncio.create_task(seal_all_the_time())
    await asyncio.gather(*(write(db, *range(start, start + 10)) for start in range(0, 80, 10)))
    writing = False
    await sealing
    await sealer.seal()
    result = await found(db, valkey)
    assert (result.faults, result.entries, result.waiting) == ([], 80, 0)


async def test_an_entry_under_way_is_waited_for_though_a_later_one_is_there(db, sealer):
    async with db.transaction() as late:
        await late.execute("INSERT INTO audit_log (time, actor, action, subject) VALUES (now(), 'a', 'b', 'c')")
        await write(db, 2)
        sealing = asyncio.create_task(sealer.seal())
        await until_waiting(db)
    assert await sealing == 1
    (seal,) = [seal async for seal in PostgresSeals(db).seals()]
    assert set(seal.digests()) == {1, 2}


async def until_waiting(db):
    sql = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(30):
        while (await db.fetch_one(sql))["n"] == 0:  # noqa: ASYNC110 - by database
            await asyncio.sleep(0.01)


async def test_many_sealers_at_once_make_one_chain(db, valkey):
    await write(db, *range(20))
    heads = RedisHeads(valkey)
    sealers = [Sealer(PostgresSeals(db), heads, KEY, ManualClock()) for _ in range(8)]
    assert sum(await asyncio.gather(*(one.seal() for one in sealers))) == 1
    assert (await found(db, valkey)).faults == []


async def test_what_somebody_else_wrote_for_a_head_is_none(valkey):
    heads = RedisHeads(valkey)
    assert await heads.head() is None
    await heads.remember(Head(3, b"\x01" * 32))
    assert await heads.head() == Head(3, b"\x01" * 32)
    await valkey.call("SET", "gate:audit:head", "nonsense")
    assert (await heads.head()).number == 0


async def test_entries_are_found_by_who_what_whom_and_when_a_page_at_a_time(db):
    await write(db, 1, 2, 3)
    await write(db, 4, actor="ada", action="ban.add")
    await write(db, 5, action="ban_add")
    reader = AuditReader(db)

    async def ids(count=10, **asked):
        return [row["id"] for row in await reader.page(Asked(**asked), count)]

    assert await ids() == [5, 4, 3, 2, 1]
    assert await ids(2) == [5, 4]
    assert await ids(2, before=4) == [3, 2]
    assert await ids(actor="ada") == [4]
    assert await ids(action="user.*") == [3, 2, 1]
    assert await ids(action="ban_add") == [5]
    assert await ids(action="%") == []
    assert await ids(subject="user-2") == [2]
    assert await ids(since=NOW + 2, until=NOW + 4) == [3, 2]
    (row,) = await reader.page(Asked(subject="user-1"), 1)
    assert (row["after"]["a"], row["address"], row["actor"]) == ({"b": 2}, "2001:db8::1", "cli:root")
