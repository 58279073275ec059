"""``gatekeeper user export`` and ``user erase`` against real stores and files."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from attempts import attempt, full_attempt
from factories import PASSWORD

from gatekeeper.store.personal_data import Person
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresSessionRecords

FEBRUARY = 1_707_523_200.0  # 2024-02-10


@pytest.fixture
def ada(command):
    """Her account's id; attempts in the database and in an archive, one of them from before the account."""
    command("user", "add", "ada@example.com", "--name", "Ada", stdin=PASSWORD + "\n")
    command("user", "add", "eve@example.com", stdin=PASSWORD + "\n")
    ids = {row["email"]: str(row["id"]) for row in command.rows("SELECT id, email FROM users")}
    mine = ids["ada@example.com"]
    command.keep(
        attempt(time=FEBRUARY, email=" Ada@Example.com"),
        attempt(time=FEBRUARY, user_id=ids["eve@example.com"], email="eve@example.com"),
    )
    command("logs", "archive", "--before", "2024-03-01")
    command.keep(
        full_attempt(user_id=mine, email="ada@example.com"),
        attempt(email="ADA@example.com"),
        attempt(email="eve@example.com", user_id=ids["eve@example.com"]),
    )
    return mine


def test_an_export_has_everything_of_one_person_and_nothing_of_another(command, ada):
    command.rows(f"INSERT INTO familiar (user_id, profile) VALUES ('{ada}', '{{}}') RETURNING 1 AS one")
    command.rows(
        "INSERT INTO api_keys (id, digest, user_id, name, start, scopes, created_at, created_by, changed_at)"
        f" VALUES ('k1', 'digest of it', '{ada}', 'backup', 'gk_', '{{}}', now(), '{ada}', now()) RETURNING 1 AS one"
    )
    answer = command("user", "export", "Ada@example.com")
    facts = [json.loads(line) for line in answer.out.splitlines()]
    assert [fact["kind"] for fact in facts] == [
        *("account", "password", "api-key", "habits", "change", "login", "login", "login")
    ]
    assert (facts[0]["id"], facts[0]["name"]) == (ada, "Ada")
    assert sorted(fact["email"] for fact in facts[5:]) == [" Ada@Example.com", "ADA@example.com", "ada@example.com"]
    assert "eve@example.com" not in answer.out
    assert "argon2" not in answer.out
    assert "digest of it" not in answer.out


def test_an_erased_person_is_gone_from_database_and_archives_and_nobody_else_is(command, ada):
    answer = command("user", "erase", "ada@example.com", "--yes")
    assert (answer.status, answer.out) == (
        0,
        "erased of ada@example.com: the account and 2 login attempts, 1 in archives\n",
    )
    assert [row["email"] for row in command.exported("--archives")] == ["eve@example.com"] * 2
    assert [row["email"] for row in command.rows("SELECT email FROM users")] == ["eve@example.com"]
    (change,) = command.rows("SELECT subject, after FROM audit_log WHERE action = 'user.erase'")
    assert change == {"subject": ada, "after": {"rows": 2, "archived": 1}}
    command.keep(full_attempt(user_id=ada, id=uuid.UUID(int=99)))
    assert len(command.exported()) == 1, "what waited in a spool does not come back"
    again = command("user", "erase", "ada@example.com", "--yes")
    assert (again.status, again.err) == (1, "nothing is kept of ada@example.com\n")


def test_an_archive_from_elsewhere_does_not_bring_an_erased_person_back(command, ada, tmp_path):
    command.keep(attempt(time=FEBRUARY, user_id=ada, email="ada@example.com"))
    command("logs", "archive", "--before", "2024-03-01")
    copy = tmp_path / "copy.gz"
    copy.write_bytes(command.archive.path("2024-02").read_bytes())
    command("user", "erase", "ada@example.com", "--yes")
    assert ": 2 rows are back" in command("logs", "restore", str(copy)).out
    assert ada not in json.dumps(command.exported())


def test_nobody_is_erased_unasked(command, ada):
    answer = command("user", "erase", "ada@example.com")
    assert (answer.status, answer.err) == (1, "this cannot be undone: say --yes where nobody can be asked\n")
    assert len(command.rows("SELECT 1 FROM users")) == 2


def test_replay_after_a_failover_ends_an_erased_account_too(command, ada, postgres_dsn):
    command("user", "erase", "ada@example.com", "--yes")

    async def changed() -> dict[str, bool]:
        postgres = Postgres(postgres_dsn, size=1, timeout=30.0)
        try:
            found = PostgresSessionRecords(postgres).users_changed_since(0.0)
            return {user.id: user.locked async for users in found for user in users}
        finally:
            await postgres.close()

    assert asyncio.run(changed())[ada] is True


def test_what_is_asked_of_the_database_and_of_archives_is_the_same():
    person = Person("7", "ada@example.com", "hmac:1")
    assert person.theirs("7", "anything")
    assert not person.theirs("8", "ada@example.com")
    assert person.theirs(None, " ADA@example.com")
    assert person.theirs(None, "hmac:1")
    assert not person.theirs(None, "eve@example.com")
