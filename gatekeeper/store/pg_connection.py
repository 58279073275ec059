"""One connection to PostgreSQL: aiopg with its traps closed, and psycopg2's errors in our words. For ``postgres``."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import aiopg
import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import Json

from gatekeeper.errors import Conflict, StoreUnavailable

_IDLE_IN_TRANSACTION: Final = "60s"  # after which the server ends a transaction that its gate forgot
_SERVER_SHARE: Final = 0.9  # of a deadline: the server gives up first, and says so, and the connection lives on


def _to_bytes(value: Any, cursor: Any) -> bytes | None:
    return None if value is None else bytes(psycopg2.BINARY(value, cursor))


_BYTES = extensions.new_type((17,), "BYTES", _to_bytes)
_BYTES_ARRAY = extensions.new_array_type((1001,), "BYTES[]", _BYTES)


class QueryError(RuntimeError):
    """PostgreSQL refuses a statement as such: a mistake in the gate, not an outage. ``sqlstate`` says which.

    The text never quotes values: they may be secrets.
    """

    def __init__(self, sqlstate: str | None, detail: str) -> None:
        super().__init__(f"{sqlstate or 'client'}: {detail}")
        self.sqlstate = sqlstate


class ConnectionBroken(StoreUnavailable):
    """The connection died under the statement: on another one a read may be tried again."""


class Connection(aiopg.Connection):
    """An aiopg connection whose time-outs are time-outs, and which watches its socket safely.

    aiopg has the loop watch libpq's own descriptor, which libpq closes (or swaps for another) in the middle of a
    call: on uvloop that leaves a dead entry under the number, and whoever gets the number next fails. It also calls
    ``select()``, which takes no descriptor above 1023. Here the loop watches a duplicate that is ours to close.
    """

    def __init__(self, dsn: str, timeout: float, **settings: Any) -> None:
        super().__init__(dsn, timeout, enable_hstore=False, **settings)
        self._loop.remove_reader(self._conn.fileno())
        self._fileno = None
        self._socket = 0
        self._due = False
        self._watch(writing=False)

    def _watch(self, *, writing: bool) -> None:
        """Watch the socket that libpq uses now, for reading and perhaps for writing.

        A change is a new duplicate: after an error event uvloop's entry for the old one is dead.
        """
        number = os.fstat(self._conn.fileno()).st_ino
        if (number, writing) == (self._socket, self._writing):
            return
        self._unwatch()
        self._socket, self._writing = number, writing
        self._fileno = os.dup(self._conn.fileno())
        self._loop.add_reader(self._fileno, self._ready, self._weakref)
        if writing:
            self._loop.add_writer(self._fileno, self._ready, self._weakref)

    def _unwatch(self) -> None:
        descriptor, self._fileno = self._fileno, None
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
        self._socket, self._writing = 0, False

    @staticmethod
    def _ready(weak_self: Any) -> None:
        connection: Connection | None = weak_self()
        if connection is not None:
            connection._advance_soon()  # noqa: SLF001  # one of us: aiopg passes itself like this

    def _advance_soon(self) -> None:
        # Not at once: on uvloop, changing what is watched from inside the event's own callback loses events.
        if not self._due:
            self._due = True
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Let libpq read and write what it can."""
        self._due = False
        if self._conn.closed:
            return
        try:
            state = self._conn.poll()
            self._watch(writing=state == extensions.POLL_WRITE)
        except psycopg2.Error as error:
            self._settle(error)
            if self._conn.closed:
                self._close()
            return
        if state == extensions.POLL_OK:
            self._settle(None)
        elif self._has(select.POLLOUT if state == extensions.POLL_WRITE else select.POLLIN):
            self._advance_soon()  # uvloop tells of a socket in error once and then never again

    def _has(self, event: int) -> bool:
        """Whether the event, an error or an end of file waits in the socket."""
        poll = select.poll()
        poll.register(self._conn.fileno(), event)
        return bool(poll.poll(0))

    def _settle(self, error: psycopg2.Error | None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    def _close(self) -> None:
        self._unwatch()
        super()._close()

    async def _poll(self, waiter: asyncio.Future[None], timeout: float) -> None:
        # aiopg's own turns the server's statement_timeout into a CancelledError, which nobody can tell from a
        # cancelled task for certain; this one lets it out as what it is.
        self._ready(self._weakref)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except (asyncio.CancelledError, TimeoutError):
            self.close()  # a reply may be under way: nobody may use this connection again
            raise
        finally:
            self._waiter = None

    def is_usable(self) -> bool:
        """Not closed, not in a transaction, and nothing (a goodbye, an end of file) waiting in its socket."""
        if self.closed or self.raw.get_transaction_status() != extensions.TRANSACTION_STATUS_IDLE:
            return False
        return not self._has(select.POLLIN)

    async def run(self, sql: str, params: Sequence[object] | Mapping[str, object]) -> tuple[list[dict[str, Any]], int]:
        """One statement: its rows as dicts, and the count of rows it returned or changed.

        Raises ``StoreUnavailable`` (``ConnectionBroken`` where that is it), ``Conflict`` or ``QueryError``.
        """
        try:
            return await self._run(sql, _adapt(params))
        except psycopg2.Error as error:
            raise translate(error, closed=bool(self.closed)) from None  # the driver's text may hold values
        except AssertionError:  # aiopg's way to say that the connection closed under it
            self.close()
            raise ConnectionBroken("postgres", "connection lost") from None
        except (ValueError, TypeError, LookupError) as error:  # a NUL, too few parameters, a name that is not there
            raise QueryError(None, f"parameters do not fit: {type(error).__name__}") from None

    async def _run(self, sql: str, params: Any) -> tuple[list[dict[str, Any]], int]:
        cursor = await self.cursor()
        try:
            await cursor.execute(sql, params)
            rows: list[dict[str, Any]] = []
            if cursor.description is not None:
                names = [column.name for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
            return rows, cursor.rowcount
        finally:
            with contextlib.suppress(psycopg2.Error):
                cursor.close()


async def connect(dsn: str, timeout: float) -> Connection:
    """A connection fit for use within ``timeout`` seconds, or ``StoreUnavailable``."""
    options = extensions.parse_dsn(dsn)
    deadline = asyncio.get_running_loop().time() + timeout
    problem = "no address"
    places = await _places(options)
    for index, place in enumerate(places):
        share = max(deadline - asyncio.get_running_loop().time(), 0.0) / (len(places) - index)
        try:
            async with asyncio.timeout(share):
                return await _connect(dsn, options, place, timeout)
        except psycopg2.Error as error:
            problem = _one_line(str(error))
        except (TimeoutError, AssertionError, OSError):
            problem = f"no connection within {timeout:g} s"
    raise StoreUnavailable("postgres", problem)


async def _connect(dsn: str, options: dict[str, str], place: dict[str, str], timeout: float) -> Connection:
    defaults = {
        "fallback_application_name": "gatekeeper",
        "target_session_attrs": "read-write",  # after a failover the old primary must not answer as if it were one
        "gssencmode": "disable",  # libpq would change sockets under aiopg's feet
    }
    settings = {name: value for name, value in defaults.items() if name not in options} | place
    settings |= {"client_encoding": "UTF8"}
    connection = cast("Connection", await Connection(dsn, timeout, **settings))
    try:
        for kind in (_BYTES, _BYTES_ARRAY):
            extensions.register_type(kind, connection.raw)
        session = {
            "statement_timeout": str(int(timeout * _SERVER_SHARE * 1000)),
            "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
            "TimeZone": "UTC",
        }
        if sys.platform == "linux" and connection.raw.server_version >= 140000:
            session["client_connection_check_interval"] = "1s"  # else an abandoned query runs to its time-out
        calls = ", ".join(["set_config(%s, %s, false)"] * len(session))
        cursor = await connection.cursor()
        await cursor.execute(f"SELECT {calls}", [part for pair in session.items() for part in pair])
        cursor.close()
    except BaseException:
        connection.close()
        raise
    return connection


async def _places(options: dict[str, str]) -> list[dict[str, str]]:
    """Where to try in turn, names resolved: libpq's own look-up would block the loop, and its own moving on to
    the next address changes the socket that aiopg watches.
    """
    if "host" not in options or "hostaddr" in options:
        return [{}]
    hosts, ports = options["host"].split(","), options.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        return [{}]  # libpq says what is wrong
    places: list[dict[str, str]] = []
    for host, port in zip(hosts, ports, strict=True):
        place = {"host": host} | ({"port": port} if port else {})
        if not host or host.startswith(("/", "@")):
            places.append(place)
            continue
        with contextlib.suppress(OSError):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
            addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
            places += [place | {"hostaddr": address} for address in addresses]
    return places


def translate(error: psycopg2.Error, *, closed: bool) -> Exception:
    """What an error of the driver is to the rest of the gate; ``closed``: the connection is."""
    state = error.pgcode
    text = _one_line(error.diag.message_primary or str(error))
    ended_by_server = error.diag.severity_nonlocalized in {"FATAL", "PANIC"} or (state or "").startswith("08")
    if ended_by_server or isinstance(error, psycopg2.InterfaceError) or (closed and state is None):
        return ConnectionBroken("postgres", text)
    if isinstance(error, errors.UniqueViolation | errors.ExclusionViolation):
        return Conflict(error.diag.constraint_name or "a unique constraint")
    if isinstance(error, psycopg2.OperationalError | errors.ReadOnlySqlTransaction) or state is None:
        if isinstance(error, psycopg2.ProgrammingError):  # found by the client, such as a missing parameter
            return QueryError(None, text)
        return StoreUnavailable("postgres", text)
    if state.startswith("22"):  # data exceptions quote the value
        text = type(error).__name__
    return QueryError(state, text)


def _adapt(params: Sequence[object] | Mapping[str, object]) -> dict[str, object] | list[object] | None:
    """Parameters as psycopg2 takes them. None when there are none: then ``%`` in the statement is just that."""
    if isinstance(params, Mapping):
        return {name: _value(value) for name, value in params.items()} or None
    return [_value(value) for value in params] or None


def _value(value: object) -> object:
    if isinstance(value, dict):
        return Json(value)
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network):
        return str(value)
    return value


def _one_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0]
