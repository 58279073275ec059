"""gatekeeper/store/postgres.py and pg_connection.py against a real server, healthy and not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from gatekeeper.errors import Conflict, StartupError, StoreUnavailable
from gatekeeper.store import pg_connection
from gatekeeper.store.postgres import Postgres, QueryError
from policies.model import Reason

CALM = 30.0  # a time-out for tests that are not about time-outs
FAST = 1.0
GENEROUS = 10.0  # how much later than FAST a loaded machine may be


@contextlib.asynccontextmanager
async def opened(dsn: str, **options: Any) -> AsyncIterator[Postgres]:
    pool = Postgres(dsn, **{"timeout": CALM, **options})
    try:
        await pool.open()
        yield pool
    finally:
        await pool.close()


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[Postgres]:
    async with opened(postgres_dsn) as store:
        await store.execute("CREATE TABLE notes (id int PRIMARY KEY, text text CONSTRAINT notes_text_key UNIQUE)")
        yield store


async def pids(store: Postgres) -> list[int]:
    """The backends of all connections of the pool, which this opens."""

    async def one() -> int:
        row = await store.fetch_one("SELECT pg_backend_pid() AS pid, pg_sleep(0.2)")
        assert row
        return int(row["pid"])

    return list(dict.fromkeys(await asyncio.gather(*(one() for _ in range(store._size)))))


# Values and statements


async def test_values_come_back_as_what_they_are(store: Postgres) -> None:
    user, moment = uuid.uuid4(), datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
    row = await store.fetch_one(
        """SELECT %(user)s AS user, %(users)s::uuid[] AS users, %(roles)s::text[] AS roles, %(empty)s::text[] AS empty,
                  %(address)s::inet AS address, '2001:db8::1'::inet AS six, %(facts)s::jsonb AS facts,
                  %(moment)s::timestamptz AS moment, %(sealed)s::bytea AS sealed, ARRAY[%(sealed)s]::bytea[] AS many,
                  %(none)s::text AS none, 7::bigint AS number, true AS yes""",
        {
            "user": user,
            "users": [user],
            "roles": ["a", 'b"{,}', ""],
            "empty": [],
            "address": ip_address("192.0.2.7"),
            "facts": {"a": [1, None, "ü"]},
            "moment": moment.astimezone(),
            "sealed": b"\0\xff'\\",
            "none": None,
        },
    )
    assert row == {
        "user": user,
        "users": [user],
        "roles": ["a", 'b"{,}', ""],
        "empty": [],
        "address": "192.0.2.7",
        "six": "2001:db8::1",
        "facts": {"a": [1, None, "ü"]},
        "moment": moment,
        "sealed": b"\0\xff'\\",
        "many": [b"\0\xff'\\"],
        "none": None,
        "number": 7,
        "yes": True,
    }
    assert type(row["sealed"]) is bytes
    assert row["moment"].utcoffset() == timedelta(0)


async def test_an_enumeration_goes_in_as_its_text(store: Postgres) -> None:
    assert await store.fetch_one("SELECT %s AS reason", (Reason.TOKEN_EXPIRED,)) == {"reason": "token-expired"}


@pytest.mark.parametrize("text", ["'; DROP TABLE notes; --", "\\", "%s %(x)s %", "'", "$1", "\\'; x", "日本"])
async def test_hostile_text_is_only_text(store: Postgres, text: str) -> None:
    await store.execute("INSERT INTO notes VALUES (1, %s)", (text,))
    assert await store.fetch("SELECT text FROM notes") == [{"text": text}]


async def test_rows_counts_and_none(store: Postgres) -> None:
    assert await store.execute("INSERT INTO notes SELECT g, 'n' || g FROM generate_series(1, 5) g") == 5
    assert await store.execute("UPDATE notes SET text = text || '!' WHERE id > %s", (3,)) == 2
    assert await store.execute("DELETE FROM notes WHERE id = 99") == 0
    assert await store.fetch("SELECT id FROM notes WHERE id < %(n)s ORDER BY id", {"n": 3}) == [{"id": 1}, {"id": 2}]
    assert await store.fetch_one("SELECT id FROM notes WHERE id = 99") is None
    assert await store.fetch("SELECT id FROM notes WHERE text LIKE '%5!'") == [{"id": 5}]


async def test_each_connection_is_set_up(store: Postgres, postgres_dsn: str) -> None:
    async with opened(postgres_dsn, timeout=10.0) as other:
        row = await other.fetch_one(
            """SELECT current_setting('statement_timeout') AS timeout, current_setting('TimeZone') AS zone,
                      current_setting('application_name') AS name, current_setting('client_encoding') AS encoding"""
        )
    assert row == {"timeout": "9s", "zone": "UTC", "name": "gatekeeper", "encoding": "UTF8"}


async def test_a_unique_violation_is_a_conflict_that_names_the_constraint(store: Postgres) -> None:
    await store.execute("INSERT INTO notes VALUES (1, 'x')")
    with pytest.raises(Conflict) as caught:
        await store.execute("INSERT INTO notes VALUES (2, 'x')")
    assert caught.value.constraint == "notes_text_key"


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELEC 1", ()),
        ("SELECT * FROM nowhere", ()),
        ("SELECT 1/0", ()),
        ("SELECT %s, %s", ("sesame",)),
        ("SELECT %(a)s", {"b": "sesame"}),
        ("SELECT %s", ("sesame\0",)),
        ("SELECT %s", ("sesame\ud800",)),
        ("SELECT %s", (object(),)),
        ("SELECT %s::uuid", ("sesame",)),
        ("INSERT INTO notes VALUES (%s)", (None,)),
    ],
)
async def test_a_wrong_statement_is_an_error_of_its_own_without_values(store: Postgres, sql: str, params: Any) -> None:
    pid = await pids(store)
    with pytest.raises(QueryError) as caught:
        await store.execute(sql, params)
    assert "sesame" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert set(await pids(store)) <= set(pid)  # the connection was kept


# Transactions and streams


async def test_a_transaction_happens_as_a_whole_or_not_at_all(store: Postgres) -> None:
    async with store.transaction() as tx:
        assert await tx.execute("INSERT INTO notes VALUES (1, 'kept')") == 1
        assert await tx.fetch_one("SELECT text FROM notes") == {"text": "kept"}
        assert await store.fetch("SELECT * FROM notes") == []  # another connection

    async def insert(*rows: tuple[int, str]) -> None:
        async with store.transaction() as tx:
            for row in rows:
                await tx.execute("INSERT INTO notes VALUES (%s, %s)", row)
            raise LookupError

    with pytest.raises(LookupError):
        await insert((2, "lost"))
    with pytest.raises(Conflict):
        await insert((3, "lost"), (1, "twice"))
    assert await store.fetch("SELECT text FROM notes") == [{"text": "kept"}]
    assert len(store._idle) == 2  # rolled back, not thrown away


async def test_a_transaction_that_swallowed_an_error_does_not_pass_for_committed(store: Postgres) -> None:
    async def swallow() -> None:
        async with store.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES (1, 'x')")
            with contextlib.suppress(Conflict):
                await tx.execute("INSERT INTO notes VALUES (1, 'y')")

    with pytest.raises(QueryError, match="nothing was committed"):
        await swallow()
    assert await store.fetch("SELECT * FROM notes") == []


async def test_a_constraint_checked_at_commit_is_a_conflict_too(store: Postgres) -> None:
    await store.execute("ALTER TABLE notes ADD CONSTRAINT late UNIQUE (text) DEFERRABLE INITIALLY DEFERRED")
    await store.execute("ALTER TABLE notes DROP CONSTRAINT notes_text_key")
    with pytest.raises(Conflict, match="late"):
        async with store.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES (1, 'x'), (2, 'x')")
    assert await store.fetch("SELECT * FROM notes") == []


async def test_a_stream_passes_all_rows_of_one_moment_in_batches(store: Postgres) -> None:
    await store.execute("INSERT INTO notes SELECT g, 'n' || g FROM generate_series(1, 1050) g")
    sizes, seen = [], []
    async for rows in store.stream("SELECT id FROM notes WHERE id > %s ORDER BY id", (50,), batch=400):
        if not sizes:
            await store.execute("DELETE FROM notes")
        sizes.append(len(rows))
        seen += [row["id"] for row in rows]
    assert sizes == [400, 400, 200]
    assert seen == list(range(51, 1051))


async def test_a_stream_left_early_gives_its_connection_back(store: Postgres) -> None:
    for _ in range(2 * store._size):
        async with contextlib.aclosing(store.stream("SELECT generate_series(1, 100) AS n", batch=3)) as stream:
            assert await anext(stream) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert await store.fetch_one("SELECT 1 AS x") == {"x": 1}


# Time-outs and cancellation


async def test_a_statement_over_time_is_unavailability_and_its_connection_lives_on(postgres_dsn: str) -> None:
    async with opened(postgres_dsn, timeout=FAST) as quick:
        before = await pids(quick)
        with pytest.raises(StoreUnavailable, match="timeout"):
            await quick.fetch("SELECT pg_sleep(60)")
        with pytest.raises(StoreUnavailable):
            async with quick.transaction() as tx:
                await tx.execute("SELECT pg_sleep(60)")
        assert set(await pids(quick)) <= set(before)


async def test_the_servers_time_out_never_looks_like_a_cancellation(postgres_dsn: str) -> None:
    """aiopg raises CancelledError for it; inside asyncio.timeout or a task group that would be taken for one."""
    async with opened(postgres_dsn, timeout=FAST) as quick:

        async def ask() -> str:
            try:
                await quick.fetch("SELECT pg_sleep(60)")
            except StoreUnavailable as fault:
                return fault.store
            return "answered"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask()) for _ in range(3)]
        assert [task.result() for task in tasks] == ["postgres"] * 3


async def test_a_cancelled_task_is_cancelled_and_the_pool_goes_on(store: Postgres, until: Any) -> None:
    for _ in range(3 * store._size):
        task = asyncio.create_task(store.fetch("SELECT pg_sleep(60)"))
        await until(lambda: store._lent)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await store.fetch_one("SELECT 1 AS x") == {"x": 1}


async def test_callers_cancelled_at_random_never_disturb_the_others(store: Postgres) -> None:
    """Security 27, for PostgreSQL."""

    async def ask(number: int) -> bool:
        return await store.fetch_one("SELECT %s AS n", (number,)) == {"n": number}

    answers: list[Any] = []
    for portion in range(15):
        tasks = [asyncio.create_task(ask(i)) for i in range(20)]
        for tick in range(portion):
            await asyncio.sleep(0.001)
            tasks[(7 * tick) % 20].cancel()
        answers += await asyncio.gather(*tasks, return_exceptions=True)
    assert {True} <= {answer for answer in answers if not isinstance(answer, asyncio.CancelledError)} <= {True}
    assert not store._lent


async def test_a_cancelled_transaction_leaves_nothing(store: Postgres) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with store.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES (1, 'x')")
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.execute("INSERT INTO notes VALUES (1, 'free again')")


async def test_more_callers_than_connections_wait_their_turn(store: Postgres) -> None:
    answers = await asyncio.gather(*(store.fetch_one("SELECT %s AS n", (i,)) for i in range(200)))
    assert answers == [{"n": i} for i in range(200)]
    assert len(store._idle) <= store._size


async def test_waiting_for_a_connection_has_a_deadline(postgres_dsn: str) -> None:
    async with opened(postgres_dsn, size=1, timeout=FAST) as narrow, narrow.transaction():
        with pytest.raises(StoreUnavailable):
            await narrow.fetch("SELECT 1")
        with pytest.raises(StoreUnavailable):
            async with narrow.transaction():
                raise AssertionError("there is no second connection")


# Faults (security 23 and 25)


async def test_reads_survive_killed_backends_without_an_error(store: Postgres, postgres_dsn: str) -> None:
    async with opened(postgres_dsn, size=3) as pool:
        for _ in range(3):
            await store.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (await pids(pool),))
            for i in range(10):
                assert await pool.fetch_one("SELECT %s AS n", (i,)) == {"n": i}


async def test_a_read_whose_backend_dies_under_it_is_tried_again_and_a_write_is_not(
    store: Postgres, postgres_dsn: str
) -> None:
    await store.execute("CREATE SEQUENCE tries")
    async with opened(postgres_dsn, size=2) as pool:
        suicide = "SELECT CASE nextval('tries') WHEN 1 THEN pg_terminate_backend(pg_backend_pid()) END, pg_sleep(0.1)"
        assert len(await pool.fetch(suicide)) == 1
        assert await store.fetch_one("SELECT last_value FROM tries") == {"last_value": 2}
        await store.execute("ALTER SEQUENCE tries RESTART")
        with pytest.raises(StoreUnavailable):
            await pool.execute(suicide)
        assert await store.fetch_one("SELECT last_value FROM tries") == {"last_value": 1}


def relay_and_reset(listener: socket.socket, path: str, dying: threading.Event) -> None:
    """Pass one connection on to a unix socket until told to die: with an error message and a reset."""
    line, _ = listener.accept()
    with socket.socket(socket.AF_UNIX) as inner:
        inner.connect(path)
        while not dying.is_set():
            for end in select.select([line, inner], [], [], 0.01)[0]:
                (inner if end is line else line).sendall(end.recv(65_536))
    goodbye = b"SFATAL\0VFATAL\0C57P01\0Mterminated\0\0"
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its close is a reset
    line.sendall(b"E" + struct.pack("!i", 4 + len(goodbye)) + goodbye)
    line.close()


async def test_a_goodbye_followed_by_a_reset_is_heard_to_its_end(postgres_dsn: str, until: Any) -> None:
    """uvloop tells of data, error and end in one event, and never again."""
    options, dying = parse_dsn(postgres_dsn), threading.Event()
    parts = {name: options[name] for name in ("user", "password", "dbname")}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        path = f"{options['host']}/.s.PGSQL.5432"
        thread = threading.Thread(target=relay_and_reset, args=(listener, path, dying))
        thread.start()
        async with opened(make_dsn(host="127.0.0.1", port=listener.getsockname()[1], **parts)) as pool:
            call = asyncio.create_task(pool.execute("SELECT pg_sleep(60)"))
            await until(lambda: pool._lent and next(iter(pool._lent)).isexecuting())
            dying.set()
            thread.join()  # the loop stands still meanwhile: it finds all of it at once
            with pytest.raises(StoreUnavailable, match=r"terminated|closed|reset"):
                await call


async def start_again(server: Any) -> None:
    """After a kill the old server's children may hold its memory for a moment, and the new one refuses to start."""
    async with asyncio.timeout(60):
        while True:
            try:
                await asyncio.to_thread(server.start)
            except AssertionError:
                server.kill()
            else:
                return


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_the_pool_recovers_after_a_restart_of_the_server(own_postgres: Any, eventually: Any, how: str) -> None:
    """Security 25."""
    async with opened(own_postgres.url) as pool:
        await pids(pool)
        await asyncio.to_thread(getattr(own_postgres, how))
        begun = time.monotonic()
        for ask in (pool.fetch, pool.execute):
            with pytest.raises(StoreUnavailable):
                await unless_it_lives_on(ask, "SELECT 1")
        assert time.monotonic() - begun < GENEROUS
        await start_again(own_postgres)
        assert await eventually(lambda: pool.fetch("SELECT 1 AS x")) == [{"x": 1}]
        assert await pool.execute("SELECT 1") == 1


async def unless_it_lives_on(ask: Any, sql: str) -> None:
    """Ask until it fails: the children of a killed server may answer for a moment."""
    async with asyncio.timeout(60):
        while True:
            await ask(sql)


async def test_a_frozen_server_costs_each_call_its_deadline_and_no_more(own_postgres: Any, eventually: Any) -> None:
    """Security 25."""
    pool = Postgres(own_postgres.url, size=2, timeout=FAST)
    await eventually(pool.open)
    postmaster_and_children = [own_postgres.child.pid, *await pids(pool)]
    for pid in postmaster_and_children:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answers = await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(6)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert time.monotonic() - begun < FAST + GENEROUS
    finally:
        for pid in postmaster_and_children:
            os.kill(pid, signal.SIGCONT)
    assert await eventually(lambda: pool.fetch("SELECT 1 AS x")) == [{"x": 1}]
    await pool.close()


async def test_one_hung_connect_does_not_hold_up_the_others(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(postgres_dsn, size=2, timeout=CALM) as pool:
        real, hung = pg_connection.connect, asyncio.Event()

        async def first_hangs(dsn: str, timeout: float) -> Any:
            if hung.is_set():
                return await real(dsn, timeout)
            hung.set()
            return await asyncio.Event().wait()

        async with pool.transaction():  # holds the connection there is
            monkeypatch.setattr("gatekeeper.store.postgres.connect", first_hangs)
            slow = asyncio.create_task(pool.fetch("SELECT 1"))
            await hung.wait()
        assert await pool.fetch_one("SELECT 2 AS x") == {"x": 2}
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await pool.fetch_one("SELECT 3 AS x") == {"x": 3}


async def test_a_server_of_no_use_is_unavailable_and_nothing_worse(impostor: Any, misbehaviour: Any) -> None:
    """Security 25."""
    port = await impostor(misbehaviour)
    pool = Postgres(f"postgresql://u:sesame@127.0.0.1:{port}/d", timeout=FAST)
    with pytest.raises(StoreUnavailable) as caught:
        await pool.open()
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    await pool.close()


async def test_names_are_looked_up_and_each_address_is_tried(postgres_dsn: str, impostor: Any, relay_to: Any) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    options = parse_dsn(postgres_dsn)
    port = await impostor(relay_to(f"{options['host']}/.s.PGSQL.5432"))
    bad = await impostor(hang)
    parts = {name: options[name] for name in ("user", "password", "dbname")}
    for hosts, ports in (
        ("localhost", port),  # ::1 first, where nobody listens
        ("127.0.0.1,localhost", f"1,{port}"),
        ("nowhere.invalid,127.0.0.1", port),
        ("127.0.0.1,127.0.0.1", f"{bad},{port}"),
    ):
        async with opened(make_dsn(host=hosts, port=ports, **parts), timeout=2 * GENEROUS) as pool:
            assert await pool.fetch("SELECT 1 AS x") == [{"x": 1}]


async def test_a_socket_that_libpq_swaps_on_its_own_is_followed(
    postgres_dsn: str, impostor: Any, relay_to: Any
) -> None:
    options = parse_dsn(postgres_dsn)
    port = await impostor(relay_to(f"{options['host']}/.s.PGSQL.5432"))
    parts = {name: options[name] for name in ("user", "password", "dbname")}
    dsn = make_dsn(host="a,b", hostaddr="127.0.0.1,127.0.0.1", port=f"1,{port}", **parts)  # looked up already
    async with opened(dsn) as pool:
        assert await pool.fetch("SELECT 1 AS x") == [{"x": 1}]


async def test_a_server_that_only_reads_is_not_the_one(store: Postgres, postgres_dsn: str) -> None:
    """After a failover the old primary, now a standby, must not answer."""
    name = parse_dsn(postgres_dsn)["dbname"]
    await store.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    pool = Postgres(postgres_dsn, timeout=CALM)
    with pytest.raises(StoreUnavailable, match="read-only"):
        await pool.open()
    await pool.close()


async def test_errors_are_reported_on_descriptors_that_select_cannot_watch(postgres_dsn: str) -> None:
    """A gate with a thousand clients opens its later connections there."""
    spare = [os.dup(0) for _ in range(1100)]
    try:
        async with opened(postgres_dsn) as pool:
            await pool.execute("CREATE TABLE t (x int CONSTRAINT once UNIQUE)")
            await pool.execute("INSERT INTO t VALUES (1)")
            assert pool._idle[0].raw.fileno() > 1023
            with pytest.raises(Conflict, match="once"):
                await pool.execute("INSERT INTO t VALUES (1)")
            await pool.execute("INSERT INTO t VALUES (2)")
    finally:
        for descriptor in spare:
            os.close(descriptor)


async def test_a_closed_pool_is_unavailable_and_opens_again(postgres_dsn: str) -> None:
    pool = Postgres(postgres_dsn, timeout=CALM)
    await pool.open()
    await pool.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await pool.fetch("SELECT 1")
    await pool.open()
    await pool.close()


async def test_close_lets_calls_under_way_finish(postgres_dsn: str, until: Any) -> None:
    pool = Postgres(postgres_dsn, timeout=CALM)
    await pool.open()
    call = asyncio.create_task(pool.fetch("SELECT pg_sleep(0.3), 1 AS x"))
    await until(lambda: pool._lent)
    await pool.close()
    assert call.done()
    assert call.result()[0]["x"] == 1


def test_the_password_is_in_no_text_that_the_pool_shows() -> None:
    assert "sesame" not in repr(Postgres("postgresql://u:sesame@127.0.0.1/d"))
    for dsn in ("postgresql://u:sesame@[bad/d", "user=u sesame", "postgresql://u:sesame@h/d?nonsense=1"):
        with pytest.raises(StartupError) as caught:
            Postgres(dsn)
        assert "sesame" not in str(caught.value)
        assert caught.value.__suppress_context__
