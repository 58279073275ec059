"""``gatekeeper migrate``: says what it does, and does it once."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
import servers

from gatekeeper.cli import main


@pytest.fixture
def empty_database(postgres: servers.Server, monkeypatch: pytest.MonkeyPatch):
    with closing(psycopg2.connect(postgres.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE migrate_command")
            monkeypatch.setenv(
                "GATEKEEPER__STORAGE__POSTGRES", postgres.url.replace("@/postgres?", "@/migrate_command?")
            )
            yield
            cursor.execute("DROP DATABASE migrate_command WITH (FORCE)")


@pytest.mark.usefixtures("empty_database")
def test_a_dry_run_says_what_the_real_one_then_applies(
    capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["migrate", "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert planned.startswith("would apply 0001_")
    assert main(["migrate", "--dry-run"]) == 0
    assert capsys.readouterr().out == planned
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == planned.replace("would apply", "applied")
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "up to date\n"


def test_an_unreachable_database_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEKEEPER__STORAGE__POSTGRES", "postgresql://u:hunter2@127.0.0.1:1/d")
    assert main(["migrate"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "hunter2" not in captured.err
