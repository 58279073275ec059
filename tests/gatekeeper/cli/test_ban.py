"""``gatekeeper ban`` against real stores: what it prints, what it changes, what it refuses."""

import asyncio
import io
import json
import sys

import pytest
from factories import PASSWORD, SECRET

from gatekeeper.cli import main
from gatekeeper.store.postgres import Postgres


@pytest.fixture
def command(postgres_dsn, redis_url, tmp_path, capsys, monkeypatch):
    """Runs ``gatekeeper ...`` with ``stdin``; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    config.write_text(json.dumps({"storage": storage}))

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = main(["--config", str(config), *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def _rows(dsn, sql):
    async def fetch():
        postgres = Postgres(dsn, size=1, timeout=30.0)
        try:
            return await postgres.fetch(sql)
        finally:
            await postgres.close()

    return asyncio.run(fetch())


def test_a_ban_is_made_listed_lifted_and_remembered(command, postgres_dsn):
    assert command("ban", "add", "198.51.100.0/24", "--reason", "a pest") == (
        0,
        "banned 198.51.100.0/24 for good\n",
        "",
    )
    status, out, _ = command("ban", "add", "198.51.100.0/24", "--for", "2h")
    assert (status, out.endswith("in place of one for good\n")) == (0, True)
    (listed,) = [json.loads(line) for line in command("ban", "list", "--json")[1].splitlines()]
    assert (listed["subject"], listed["kind"], listed["source"]) == ("198.51.100.0/24", "network", "manual")
    assert listed["by"].startswith("cli:")
    assert command("ban", "list")[1].split()[:4] == ["SUBJECT", "KIND", "SINCE", "UNTIL"]
    status, out, _ = command("ban", "lift", "198.51.100.0/24")
    assert (status, out.startswith("198.51.100.0/24 is not banned any more")) == (0, True)
    assert command("ban", "list") == (0, "none\n", "")
    history = [json.loads(line) for line in command("ban", "history", "198.51.100.0/24", "--json")[1].splitlines()]
    assert [(one["reason"], one["lifted_by"][:4]) for one in history] == [("", "cli:"), ("a pest", "repl")]
    rows = _rows(postgres_dsn, "SELECT action, actor, subject FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["ban.add", "ban.add", "ban.lift"]
    assert all(row["actor"].startswith("cli:") and row["subject"] == "198.51.100.0/24" for row in rows)


def test_a_user_is_banned_by_e_mail(command, postgres_dsn):
    command("user", "add", "ada@example.com", stdin=PASSWORD + "\n")
    assert command("ban", "add", "Ada@Example.com")[1] == "banned ada@example.com for good\n"
    (row,) = _rows(postgres_dsn, "SELECT kind, subject, label, (SELECT id::text FROM users) AS id FROM bans")
    assert (row["kind"], row["subject"], row["label"]) == ("user", row["id"], "ada@example.com")


def test_what_is_exported_can_be_imported(command, tmp_path):
    command("ban", "add", "198.51.100.0/24", "--reason", "a # pest", "--for", "1d")
    command("ban", "add", "agent:evil; bot # 1")
    command("ban", "add", "NL")
    exported = command("ban", "export")[1]
    for subject in ("198.51.100.0/24", "agent:evil; bot # 1", "NL"):
        assert command("ban", "lift", subject)[0] == 0
    kept = tmp_path / "list"
    kept.write_text(exported)
    assert command("ban", "import", str(kept)) == (0, "banned 3\n", "")
    assert sorted(command("ban", "export")[1].splitlines()[2:]) == sorted(exported.splitlines()[2:])


def test_a_list_with_mistakes_is_refused_line_by_line_and_bans_nobody(command):
    status, out, err = command("ban", "import", "-", stdin="192.0.2.1\nnobody\n10.0.0.1/8\n")
    assert (status, out) == (1, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["line 2", "line 3"]
    assert command("ban", "list")[1] == "none\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "nobody"), "'nobody' is no address"),
        (("add", "eve@example.com"), "there is no user eve@example.com"),
        (("lift", "192.0.2.1"), "no ban is in force on 192.0.2.1"),
        (("import", "/nowhere/list"), "/nowhere/list: No such file or directory"),
    ],
)
def test_a_refusal_is_one_line(command, arguments, says):
    status, out, err = command("ban", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith(says)
    assert len(err.splitlines()) == 1


def test_a_ban_that_the_allow_list_keeps_out_says_so(command):
    status, out, err = command("ban", "add", "127.1.0.0/16")
    assert (status, out) == (0, "banned 127.1.0.0/16 for good\n")
    assert err == "bans.allow keeps 127.0.0.0/8 out of it\n"


def test_a_time_that_is_none_is_wrong_use(command):
    with pytest.raises(SystemExit) as ended:
        command("ban", "add", "192.0.2.1", "--for", "soon")
    assert ended.value.code == 2
