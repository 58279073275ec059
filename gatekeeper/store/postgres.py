"""PostgreSQL for the rest of the store layer: a small pool with a deadline on everything.

Called by the store's own modules (``accounts.py``, ``records.py``, ...), opened and closed by ``gatekeeper.app``.

Values: uuid is ``uuid.UUID``, text[] ``list[str]``, timestamptz an aware UTC ``datetime``, inet ``str``, bytea
``bytes``, json and jsonb parsed. As parameters also: ``ipaddress`` objects, and a dict as jsonb. Placeholders are
``%s`` or ``%(name)s``; with parameters a literal percent sign is ``%%``, without any it is ``%``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Final

import psycopg2
from psycopg2.extensions import parse_dsn

from gatekeeper.errors import StartupError, StoreUnavailable
from gatekeeper.store.pg_connection import Connection, ConnectionBroken, QueryError, connect

__all__ = ["Params", "Postgres", "QueryError", "Transaction"]

Params = Sequence[object] | Mapping[str, object]
_NONE: Final[tuple[object, ...]] = ()


class Transaction:
    """An open transaction on one connection; every statement has the pool's time-out. For one task."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def fetch(self, sql: str, params: Params = _NONE) -> list[dict[str, Any]]:
        """All rows."""
        return (await self._run(sql, params))[0]

    async def fetch_one(self, sql: str, params: Params = _NONE) -> dict[str, Any] | None:
        """The first row, if there is one."""
        rows = await self.fetch(sql, params)
        return rows[0] if rows else None

    async def execute(self, sql: str, params: Params = _NONE) -> int:
        """The number of rows changed."""
        return (await self._run(sql, params))[1]

    async def _run(self, sql: str, params: Params) -> tuple[list[dict[str, Any]], int]:
        async with _deadline(self._timeout):
            return await self._connection.run(sql, params)


class Postgres:
    """A pool of at most ``size`` connections; a call takes at most ``timeout`` seconds, waiting included.

    Every method raises ``StoreUnavailable`` for an outage or a time-out, ``Conflict`` when a unique constraint
    refuses, ``QueryError`` for a statement that is wrong. After ``StoreUnavailable`` a write may have happened.
    """

    def __init__(self, dsn: str, *, size: int = 4, timeout: float = 3.0) -> None:
        try:
            options = parse_dsn(dsn)
        except psycopg2.Error:
            raise StartupError("storage.postgres: not a usable postgresql:// URL") from None  # it may hold a password
        self._dsn = dsn
        self._place = f"{options.get('host', 'local')}/{options.get('dbname', '')}"
        self._size = size
        self._timeout = timeout
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"Postgres({self._place!r}, size={self._size})"

    async def open(self) -> None:
        """Connect once, so that a wrong address or password shows now. Not needed again after an outage."""
        self._closed = False
        await self.fetch("SELECT 1")

    def patient(self, timeout: float) -> Postgres:
        """Another pool of the same database, of one connection, for statements that take their time."""
        return Postgres(self._dsn, size=1, timeout=timeout)

    async def close(self) -> None:
        """Wait for calls under way (not longer than their time-out), then disconnect."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout), contextlib.AsyncExitStack() as held:
                for _ in range(self._size):
                    await held.enter_async_context(self._slots)
        for connection in list(self._lent):
            connection.close()
        self._forget_idle()

    async def fetch(self, sql: str, params: Params = _NONE) -> list[dict[str, Any]]:
        """All rows of a read: it is tried a second time when its connection turns out to be dead.

        A write with RETURNING belongs into a ``transaction``.
        """
        async with _deadline(self._timeout):
            try:
                return (await self._once(sql, params))[0]
            except ConnectionBroken:
                return (await self._once(sql, params))[0]

    async def fetch_one(self, sql: str, params: Params = _NONE) -> dict[str, Any] | None:
        """The first row of a read, if there is one; tried again like ``fetch``."""
        rows = await self.fetch(sql, params)
        return rows[0] if rows else None

    async def execute(self, sql: str, params: Params = _NONE) -> int:
        """One write, by itself atomic, never tried again; the number of rows changed."""
        async with _deadline(self._timeout):
            return (await self._once(sql, params))[1]

    @contextlib.asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """Statements that happen together or not at all: committed at the end of the block.

        An exception rolls back; a cancellation does so by closing the connection.
        """
        async with _deadline(self._timeout):
            connection = await self._acquire()
        try:
            transaction = Transaction(connection, self._timeout)
            await transaction.execute("BEGIN READ ONLY" if read_only else "BEGIN")
            try:
                yield transaction
            except Exception:
                with contextlib.suppress(StoreUnavailable, QueryError):
                    await transaction.execute("ROLLBACK")
                raise
            await self._commit(connection, transaction)
        finally:
            self._release(connection)  # closes it unless it is idle

    async def stream(
        self, sql: str, params: Params = _NONE, *, batch: int = 500
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The rows of a large read, ``batch`` at a time, out of one snapshot and in constant memory.

        Holds one of the connections meanwhile. Use within ``contextlib.aclosing`` where the loop may be left early.
        """
        async with self.transaction(read_only=True) as transaction:
            await transaction.execute(f"DECLARE gate_stream NO SCROLL CURSOR FOR {sql}", params)
            while rows := await transaction.fetch(f"FETCH FORWARD {int(batch)} FROM gate_stream"):
                yield rows

    async def _once(self, sql: str, params: Params) -> tuple[list[dict[str, Any]], int]:
        connection = await self._acquire()
        try:
            return await connection.run(sql, params)
        except ConnectionBroken:
            self._forget_idle()  # what ended this one has likely ended them all
            raise
        finally:
            self._release(connection)

    async def _commit(self, connection: Connection, transaction: Transaction) -> None:
        if connection.raw.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            await transaction.execute("ROLLBACK")
            raise QueryError("25P02", "a statement failed and the block went on: nothing was committed")
        await transaction.execute("COMMIT")

    async def _acquire(self) -> Connection:
        """A connection of one's own. Connecting holds up nobody but the one who asks."""
        await self._slots.acquire()
        try:
            if self._closed:
                raise StoreUnavailable("postgres", "closed")
            while self._idle:
                connection = self._idle.pop()
                if connection.is_usable():
                    break
                connection.close()
            else:
                connection = await connect(self._dsn, self._timeout)
        except BaseException:
            self._slots.release()
            raise
        self._lent.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        self._lent.discard(connection)
        if self._closed or not connection.is_usable():
            connection.close()
        else:
            self._idle.append(connection)
        self._slots.release()

    def _forget_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


@contextlib.asynccontextmanager
async def _deadline(timeout: float) -> AsyncIterator[None]:
    """``StoreUnavailable`` after ``timeout`` seconds; a cancellation of the task stays one."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise StoreUnavailable("postgres", f"no answer within {timeout:g} s") from None
