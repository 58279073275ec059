"""``gatekeeper logs`` against a real database: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from attempts import attempt, full_attempt
from factories import PASSWORD

from gatekeeper.journal.archive import verify
from gatekeeper.journal.rows import public

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC).timestamp()


def test_an_export_is_json_lines_the_oldest_first_and_can_be_narrowed(command):
    old, new = full_attempt(time=FEBRUARY), attempt(time=FEBRUARY + 86_400, address=ip_address("198.51.100.7"))
    command.keep(new, old)
    assert command.exported() == [public(old), public(new)]
    assert command.exported("--since", "2024-02-11", "--address", "198.51.100.0/24") == [public(new)]
    assert command.exported("--until", "2024-02-11T00:00:00Z", "--signal", "new_country", "--risk", "50") == [
        public(old)
    ]
    assert command.exported("--country", "de", "--result", "failure", "--reason", "invalid-credentials") == [
        public(old)
    ]


def test_an_export_of_an_account_goes_by_who_it_is_not_by_what_was_typed(command):
    command("user", "add", "ada@example.com", stdin=PASSWORD + "\n")
    (user,) = command.rows("SELECT id FROM users")
    mine = attempt(time=FEBRUARY, email="ADA@example.com ", user_id=str(user["id"]))
    command.keep(mine, attempt(time=FEBRUARY, email="ada@example.com"))
    assert command.exported("--user", "Ada@Example.com") == [public(mine)]
    assert command("logs", "export", "--user", "eve@example.com").err == (
        "there is no user eve@example.com; --email finds what was typed\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "--since", "yesterday"), "no time"),
        (("export", "--address", "localhost"), "neither an IP address nor a network"),
        (("export", "--result", "good"), "invalid choice"),
        (("archive", "--before", "2024-02-02"), "not the first of a month"),
        (("archive", "--before", "20240201"), "not the first of a month"),
        (("restore", "x", "--for", "ever"), "a duration"),
    ],
)
def test_wrong_use_is_said_in_one_line(command, capsysbinary, arguments, words):
    with pytest.raises(SystemExit) as ended:
        command("logs", *arguments)
    assert ended.value.code == 2
    said = capsysbinary.readouterr().err.decode()
    assert words in said
    assert said.count("\n") == 1


def test_old_months_go_into_files_and_come_back(command):
    written = [attempt(time=FEBRUARY + number, id=uuid.UUID(int=number)) for number in range(5)]
    late = attempt(time=FEBRUARY + 90 * 86_400)
    command.keep(*written, late)
    answer = command("logs", "archive", "--before", "2024-03-01")
    path = command.archive.path("2024-02")
    assert (answer.status, answer.out) == (0, f"2024-02: 5 rows in {path}\n")
    assert verify(path).rows == 5
    assert command.exported() == [public(late)]
    assert command.exported("--archives") == [public(one) for one in (*written, late)]

    days = "SELECT sum(attempts)::int AS n FROM login_counts WHERE grain = 'day'"
    assert command.rows(days) == [{"n": 6}]
    answer = command("logs", "restore", str(path))
    assert answer.out.startswith("2024-02: 5 rows are back until ")
    assert command.exported() == [public(one) for one in (*written, late)]
    assert command.exported("--archives") == [public(one) for one in (*written, late)]
    assert command.rows(days) == [{"n": 6}]
    assert "5 were there already" in command("logs", "restore", str(path)).out
    assert command("logs", "archive").out.splitlines()[0].startswith("2024-05: 1 rows in ")
    assert len(command.exported("--until", "2024-03-01")) == 5, "it was asked back for a week"
    changes = command.rows("SELECT action, subject FROM audit_log WHERE action LIKE 'logs.%' ORDER BY id")
    assert [tuple(row.values()) for row in changes][:2] == [("logs.archive", "2024-02"), ("logs.restore", "2024-02")]


def test_a_month_restored_into_an_empty_database_is_counted(command):
    command.keep(attempt(time=FEBRUARY))
    command("logs", "archive", "--before", "2024-03-01")
    command.rows("DELETE FROM login_counts RETURNING 1 AS one")
    command("logs", "restore", str(command.archive.path("2024-02")))
    assert command.rows("SELECT sum(attempts)::int AS n FROM login_counts WHERE grain = 'day'") == [{"n": 1}]


def test_a_damaged_file_is_not_restored(command):
    command.keep(attempt(time=FEBRUARY))
    command("logs", "archive", "--before", "2024-03-01")
    path = command.archive.path("2024-02")
    path.write_bytes(path.read_bytes()[:-9])
    answer = command("logs", "restore", str(path))
    assert (answer.status, answer.err) == (1, f"{path}: damaged, or no gzip file\n")
    assert command.exported() == []


def test_without_a_place_for_archives_there_is_no_archive(command):
    text = json.loads(command.config.read_text())
    command.config.write_text(json.dumps({**text, "logs": {"archive_to": None}}))
    command.keep(attempt(time=FEBRUARY))
    answer = command("logs", "archive", "--before", "2024-03-01")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("logs.archive_to is null")
    assert len(command.exported()) == 1
