"""Brings a database up to this version of the code. Called by ``gatekeeper migrate`` and before ``serve`` listens.

``migrations/NNNN_name.sql`` are applied in order, each in a transaction of its own together with its row in
``schema_migrations``. A session-level advisory lock lets one gate at a time do so; it ends with its connection, so
a gate killed in the middle blocks nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class with a lower-case name

from gatekeeper.errors import StartupError, StoreUnavailable

_LOCK: Final = 0x6761_7465_6B65_6570  # "gatekeep"
_CONNECT_TIMEOUT: Final = 5  # seconds
_LOCK_TIMEOUT: Final = 120.0
_STATEMENT_TIMEOUT: Final = 3600.0  # an index on a large table takes its time
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without the suffix, its text and the SHA-256 of that, in hex."""

    name: str
    text: str = field(repr=False)
    checksum: str


def load(folder: Traversable | None = None) -> list[Migration]:
    """The migrations that come with the code, in order."""
    folder = folder or resources.files("gatekeeper.store").joinpath("migrations")
    found: dict[str, Migration] = {}
    for file in folder.iterdir():
        if match := _NAME.fullmatch(file.name):
            if match[1] in found:
                raise StartupError(f"migrations: two files have the number {match[1]}")
            text = file.read_text("utf-8")  # with \n for any line ending, so that a checkout's settings do not matter
            found[match[1]] = Migration(file.name[:-4], text, hashlib.sha256(text.encode()).hexdigest())
    return [found[number] for number in sorted(found)]


async def migrate(
    dsn: str,
    *,
    dry_run: bool = False,
    lock_timeout: float = _LOCK_TIMEOUT,
    migrations: Sequence[Migration] | None = None,
) -> list[str]:
    """Apply what is missing and return its names, such as ``0001_identity``; ``dry_run`` only returns them.

    ``lock_timeout`` (seconds) is how long another gate may take. Raises ``StoreUnavailable`` when the database
    cannot be reached, and ``StartupError`` when an applied file was changed since, when the database is newer than
    the code, when another gate does not finish, and when a migration fails (it then left nothing behind).
    """
    wanted = load() if migrations is None else migrations
    return await asyncio.to_thread(_migrate, dsn, wanted, dry_run, lock_timeout)


def _migrate(dsn: str, wanted: Sequence[Migration], dry_run: bool, lock_timeout: float) -> list[str]:
    try:
        connection = _connect(dsn, lock_timeout)
    except psycopg2.ProgrammingError:  # not quoted: it holds the password
        raise StartupError("storage.postgres: not a usable postgresql:// URL") from None
    except psycopg2.Error as error:
        raise StoreUnavailable("postgres", _one_line(error)) from None
    try:
        if not dry_run:
            _lock(connection, lock_timeout)
        pending = outstanding(wanted, _applied(connection))
        if not dry_run:
            for migration in pending:
                _apply(connection, migration)
        return [migration.name for migration in pending]
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise StoreUnavailable("postgres", _one_line(error)) from None
    except psycopg2.Error as error:
        raise StartupError(f"migrations: {_one_line(error)}") from None
    finally:
        connection.close()


def outstanding(wanted: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """What of ``wanted`` is not in ``applied`` (checksums by name), or ``StartupError`` when the two disagree."""
    names = {migration.name for migration in wanted}
    if unknown := sorted(set(applied) - names):
        raise StartupError(f"migrations: the database is newer than this version of the gate (it has {unknown[-1]})")
    for migration in wanted:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise StartupError(f"migrations: {migration.name} was changed after it had been applied")
    pending = [migration for migration in wanted if migration.name not in applied]
    if pending and applied and pending[0].name < max(applied):
        raise StartupError(f"migrations: {pending[0].name} is missing below {max(applied)}, which is applied")
    return pending


def _connect(dsn: str, lock_timeout: float) -> Connection:
    connection = psycopg2.connect(
        dsn,
        connect_timeout=_CONNECT_TIMEOUT,
        fallback_application_name="gatekeeper migrate",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        target_session_attrs="read-write",
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        settings = {
            "lock_timeout": f"{int(lock_timeout * 1000)}ms",
            "statement_timeout": f"{int(_STATEMENT_TIMEOUT * 1000)}ms",
            "TimeZone": "UTC",
        }
        for name, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    return connection


def _lock(connection: Connection, lock_timeout: float) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        except errors.LockNotAvailable:
            raise StartupError(f"migrations: another gate is still at it after {lock_timeout:g} s") from None
        cursor.execute(_TABLE)


def _applied(connection: Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
        row = cursor.fetchone()
        if not row or not row[0]:
            return {}
        cursor.execute("SELECT name, checksum FROM schema_migrations")
        return {str(name): str(checksum) for name, checksum in cursor.fetchall()}


def _apply(connection: Connection, migration: Migration) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(migration.text)
            cursor.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", (migration.name, migration.checksum)
            )
            cursor.execute("COMMIT")
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise  # the connection ends, and with it the transaction
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK")
            raise StartupError(f"migrations: {migration.name} failed: {_one_line(error)}") from None


def _one_line(error: psycopg2.Error) -> str:
    text = error.diag.message_primary or str(error)
    return (text.strip().splitlines() or ["no reason given"])[0]
