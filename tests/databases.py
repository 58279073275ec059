"""The databases of the tests: each test finds one as freshly migrated; a process of the tests makes few.

Making one takes a hundred times as long as emptying one. So a database is handed out again after the rows are gone,
those of the migrations are back, the sequences start anew and whoever was connected is not. One whose tables,
functions or settings a test has changed is dropped instead.
"""

from __future__ import annotations

import itertools
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from servers import PATIENCE, Server

TEMPLATE = "template"

_OBJECTS = """
SELECT md5(coalesce(string_agg(item, ',' ORDER BY item), '')) FROM (
    SELECT 'class' || oid || ' ' || xmin AS item FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT 'column' || attrelid || ' ' || attnum || ' ' || xmin FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT 'default' || oid || ' ' || xmin FROM pg_attrdef WHERE oid >= 16384
    UNION ALL SELECT 'constraint' || oid || ' ' || xmin FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'trigger' || oid || ' ' || xmin FROM pg_trigger WHERE oid >= 16384
    UNION ALL SELECT 'function' || oid || ' ' || xmin FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'type' || oid || ' ' || xmin FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'schema' || oid || ' ' || xmin FROM pg_namespace WHERE oid >= 16384 OR nspname = 'public'
    UNION ALL SELECT 'setting' || setrole || ' ' || setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'large object' || oid FROM pg_largeobject_metadata
) AS objects
"""
_TABLES = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_SEQUENCES = """
SELECT schemaname || '.' || quote_ident(sequencename), start_value FROM pg_sequences ORDER BY 1
"""
_STORED = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
_OTHERS = """
SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Databases:
    """Hands out databases of one server, started with the ``hba_file`` of ``admitting`` and never restarted."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._admin = f"postgresql://postgres@/{{}}?{server.url.partition('?')[2]}"
        self._numbers = itertools.count(1)
        self._clean: list[_Database] = []
        self._lent: dict[str, _Database] = {}
        self._fingerprint = ""
        self._reset = sql.SQL("")

    def _url(self, name: str) -> str:
        """The libpq URL of a database, for the gate's own role."""
        return self._server.url.replace("@/gatekeeper?", f"@/{name}?")

    def template(self) -> str:
        """The libpq URL of the database ``template``, made now, for the migrations."""
        with closing(_connect(self._admin, "postgres")) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TEMPLATE} OWNER gatekeeper")
        return self._url(TEMPLATE)

    def seal(self) -> None:
        """Take the database ``template``, migrated by now, as what each test finds."""
        with closing(_connect(self._admin, TEMPLATE)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA kept")
            self._reset = sql.SQL("; ").join(_statements(cursor))
            cursor.execute(_OBJECTS)
            self._fingerprint = _one(cursor)

    def take(self) -> str:
        """The libpq URL of a migrated, empty database."""
        found = self._clean.pop() if self._clean else _Database(self._admin, f"test_{next(self._numbers)}")
        url = self._url(found.name)
        self._lent[url] = found
        return url

    def give_back(self, url: str) -> None:
        """Whatever is still connected to it is not any more."""
        found = self._lent.pop(url)
        with suppress(psycopg2.Error):
            if found.emptied(self._reset, self._fingerprint):
                self._clean.append(found)
                return
        found.drop()

    def close(self) -> None:
        for each in self._clean:
            each.drop()


class _Database:
    def __init__(self, admin: str, name: str) -> None:
        self.name = name
        self._admin = admin
        with closing(_connect(admin, "postgres")) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER gatekeeper")
        self._connection = _connect(admin, name)

    def emptied(self, reset: sql.Composable, fingerprint: str) -> bool:
        """Whether it is again as it was made."""
        with self._connection.cursor() as cursor:
            cursor.execute(_OTHERS, (int(PATIENCE * 1000),))
            cursor.execute(_OBJECTS)
            if _one(cursor) != fingerprint:
                return False
            cursor.execute(reset)
        return True

    def drop(self) -> None:
        self._connection.close()
        with closing(_connect(self._admin, "postgres")) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


def admitting(folder: Path) -> Path:
    """A pg_hba.conf that also lets the superuser in, by a socket in a folder that is the servers' user's alone."""
    path = folder / "tests_hba.conf"
    path.write_text("local all postgres trust\nlocal all gatekeeper scram-sha-256\n")
    path.chmod(0o644)
    return path


def _statements(cursor: psycopg2.extensions.cursor) -> list[sql.Composable]:
    """What empties it, without triggers, whatever refers to what; and copies of the rows that migrations made."""
    cursor.execute(_TABLES)
    tables = [name for (name,) in cursor.fetchall()]
    statements: list[sql.Composable] = [sql.SQL("SET session_replication_role = replica")]
    statements += [sql.SQL("DELETE FROM public.{}").format(sql.Identifier(name)) for name in tables]
    for name in map(sql.Identifier, tables):
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM public.{})").format(name))
        if _one(cursor):
            cursor.execute(sql.SQL("CREATE TABLE kept.{0} AS TABLE public.{0}").format(name))
            cursor.execute(_STORED, (f"public.{name.string}",))
            columns = sql.SQL(_one(cursor))
            copy = "INSERT INTO public.{0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM kept.{0}"
            statements.append(sql.SQL(copy).format(name, columns))
    cursor.execute(_SEQUENCES)
    for name, start in cursor.fetchall():
        statements.append(sql.SQL("SELECT setval({}, {}, false)").format(sql.Literal(name), sql.Literal(start)))
    return statements


def _connect(admin: str, name: str) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(admin.format(name))
    connection.autocommit = True
    return connection


def _one(cursor: psycopg2.extensions.cursor) -> Any:
    row = cursor.fetchone()
    assert row, "no row"
    return row[0]
