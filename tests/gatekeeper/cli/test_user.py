"""``gatekeeper user`` against real stores: what it prints, what it changes, what it refuses."""

import asyncio
import hashlib
import io
import json
import sys
import uuid

import pytest
from factories import NOW, PASSWORD, SECRET

from gatekeeper.cli import main
from gatekeeper.identity.factors.records import Passkey
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.postgres import Postgres


@pytest.fixture
def command(postgres_dsn, redis_url, tmp_path, capsys, monkeypatch):
    """Runs ``gatekeeper user ...`` with ``stdin``; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    config.write_text(json.dumps({"storage": storage}))

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(["--config", str(config), "user", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def _rows(dsn: str, sql: str):
    async def fetch():
        postgres = Postgres(dsn, size=1, timeout=30.0)
        try:
            return await postgres.fetch(sql)
        finally:
            await postgres.close()

    return asyncio.run(fetch())


def test_a_user_is_added_listed_and_shown(command):
    status, out, err = command("add", "Ada@Example.com", "--role", "staff", "--role", "admin", stdin=PASSWORD + "\n")
    assert (status, err) == (0, "")
    assert out.startswith("added ada@example.com (")
    _, table, _ = command("list")
    assert table.splitlines()[0].split()[:3] == ["EMAIL", "ID", "ROLES"]
    assert "admin,staff" in table
    _, line, _ = command("show", "ADA@example.com", "--json")
    assert json.loads(line)["roles"] == ["admin", "staff"]


def test_the_password_works_at_login(command, postgres_dsn):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    from argon2 import PasswordHasher

    (row,) = _rows(postgres_dsn, "SELECT hash FROM passwords")
    assert PasswordHasher().verify(row["hash"], PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (("add", "ada"), PASSWORD, "'ada' must contain exactly one @"),
        (("add", "ada@example.com"), "", "a password is expected as one line on standard input"),
        (("add", "ada@example.com"), "short", "the password must have at least 12 characters"),
        (("add", "ada@example.com"), "qwertyqwerty", "the password is one of the most common passwords"),
        (("add", "ada@example.com", "--role", "a b"), PASSWORD, "'a b' is no role name"),
        (("lock", "nobody@example.com"), "", "there is no user nobody@example.com"),
    ],
)
def test_a_refusal_is_one_line_and_changes_nothing(command, postgres_dsn, arguments, stdin, says):
    status, out, err = command(*arguments, stdin=stdin)
    assert (status, out) == (1, "")
    assert err.startswith(says)
    assert len(err.splitlines()) == 1
    assert _rows(postgres_dsn, "SELECT 1 FROM users") == []


def test_a_user_is_not_added_twice(command):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    status, _, err = command("add", "ADA@example.com", stdin=PASSWORD + "\n")
    assert (status, err) == (1, "there is a user ada@example.com already\n")


def test_every_change_is_in_the_audit_log_with_before_and_after(command, postgres_dsn):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    for arguments in (("role", "ada@example.com", "staff"), ("lock", "ada@example.com"), ("unlock", "ada@example.com")):
        assert command(*arguments)[0] == 0
    assert command("logout", "ada@example.com")[0] == 0
    assert command("passwd", "ada@example.com", stdin="another long password\n")[0] == 0
    rows = _rows(postgres_dsn, "SELECT actor, action, before, after FROM audit_log ORDER BY id")
    actions = [row["action"] for row in rows]
    assert actions == ["user.add", "user.role", "user.lock", "user.unlock", "user.logout", "user.password"]
    assert all(row["actor"].startswith("cli:") for row in rows)
    assert (rows[1]["before"]["roles"], rows[1]["after"]["roles"]) == ([], ["staff"])
    assert (rows[2]["before"]["locked"], rows[2]["after"]["locked"]) == (False, True)


def test_a_password_is_to_be_replaced(command, postgres_dsn):
    def expired():
        (row,) = _rows(postgres_dsn, "SELECT must_change FROM passwords")
        return row["must_change"]

    command("add", "ada@example.com", "--must-change", stdin=PASSWORD + "\n")
    assert expired()
    assert command("passwd", "ada@example.com", stdin="another long password\n")[0] == 0
    assert not expired()
    status, out, _ = command("expire-password", "ADA@example.com")
    assert (status, expired(), out.startswith("ada@example.com has to choose another")) == (0, True, True)
    _rows(postgres_dsn, "DELETE FROM passwords RETURNING 1 AS one")
    status, _, err = command("expire-password", "ada@example.com")
    assert (status, err) == (1, "This account has no password that could be replaced\n")


def test_wrong_use_is_status_2(command):
    with pytest.raises(SystemExit) as ended:
        command("lock")
    assert ended.value.code == 2


def test_factors_are_shown_and_reset(command, postgres_dsn):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    (user,) = _rows(postgres_dsn, "SELECT id FROM users")

    async def enrol():
        postgres = Postgres(postgres_dsn, size=1, timeout=30.0)
        try:
            store = PostgresFactors(postgres)
            owner = str(user["id"])
            await store.begin_totp(owner, b"sealed", NOW)
            assert await store.confirm_totp(owner, b"sealed", 1, NOW)
            await store.replace_codes(owner, [b"a", b"b"], NOW)
            await store.remember_device(b"d", owner, "a browser", now=NOW, until=NOW + 9e8)
        finally:
            await postgres.close()

    asyncio.run(enrol())
    facts = {"totp": True, "passkeys": [], "recovery_codes": 2, "remembered_devices": 1}
    assert facts.items() <= json.loads(command("show", "ada@example.com", "--json")[1]).items()
    status, out, err = command("reset-factors", "ADA@example.com")
    assert (status, err) == (0, "")
    assert out.startswith("ada@example.com has no second factor any more")
    (change,) = _rows(postgres_dsn, "SELECT * FROM audit_log WHERE action = 'user.reset-factors'")
    (user,) = _rows(postgres_dsn, "SELECT epoch FROM users")
    assert user["epoch"] == 2  # every session has ended
    none = {"totp": False, "passkeys": [], "recovery_codes": 0, "remembered_devices": 0}
    assert (change["before"], change["after"]) == (facts, none)
    assert none.items() <= json.loads(command("show", "ada@example.com", "--json")[1]).items()
    assert command("reset-factors", "eve@example.com")[0] == 1


def test_a_user_is_called_otherwise_and_nothing(command):
    command("add", "ada@example.com", "--name", "Ada", stdin=PASSWORD + "\n")
    assert command("rename", "ada@example.com", "Ada Lovelace")[1] == "ada@example.com is called Ada Lovelace\n"
    assert json.loads(command("show", "ada@example.com", "--json")[1])["name"] == "Ada Lovelace"
    assert command("rename", "ada@example.com")[1] == "ada@example.com has no name\n"
    assert command("rename", "ada@example.com", "x" * 201)[0] == 1
    assert json.loads(command("show", "ada@example.com", "--json")[1])["name"] is None


def test_one_factor_is_removed_by_name_where_that_says_which(command, postgres_dsn):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    (user,) = _rows(postgres_dsn, "SELECT id FROM users")
    owner, ids = str(user["id"]), [str(uuid.UUID(int=number)) for number in (1, 2, 3)]

    async def enrol():
        postgres = Postgres(postgres_dsn, size=1, timeout=30.0)
        try:
            store = PostgresFactors(postgres)
            await store.begin_totp(owner, b"sealed", NOW)
            assert await store.confirm_totp(owner, b"sealed", 1, NOW)
            for number, name in enumerate(("phone", "key", "key")):
                passkey = Passkey(ids[number], owner, ids[number].encode(), b"x", name, 0, False, (), NOW)
                assert await store.add_passkey(passkey)
        finally:
            await postgres.close()

    asyncio.run(enrol())
    status, _, err = command("remove-factor", "ada@example.com", "key")
    assert (status, f"say which by its id, one of {ids[1]}, {ids[2]}" in err) == (1, True)
    for factor, what in (("phone", "passkey"), (ids[1], "passkey"), ("totp", "authenticator app")):
        assert command("remove-factor", "Ada@example.com", factor)[:2] == (
            *(0, f"ada@example.com has lost that {what}, and every session has ended\n"),
        )
    facts = {"totp": False, "passkeys": ["key"]}
    assert facts.items() <= json.loads(command("show", "ada@example.com", "--json")[1]).items()
    status, _, err = command("remove-factor", "ada@example.com", "phone")
    assert (status, err) == (1, "This account has no such second factor\n")
    changes = _rows(postgres_dsn, "SELECT actor, after FROM audit_log WHERE action = 'user.remove-factor'")
    assert [change["after"]["passkeys"] for change in changes] == [["key", "key"], ["key"], ["key"]]


def test_an_invitation_is_a_link_for_one_email_kept_as_a_hash(command, postgres_dsn):
    status, out, err = command("invite", "Ada@Example.com", "--role", "staff", "--expires", "2d")
    assert (status, err) == (0, "")
    link, token = out.strip(), out.strip().partition("?invite=")[2]
    assert link == f"http://127.0.0.1:8080/_gate/register?invite={token}"
    (row,) = _rows(postgres_dsn, "SELECT * FROM mail_links")
    assert (row["purpose"], row["email"], row["roles"]) == ("invitation", "ada@example.com", ["staff"])
    assert (row["expires_at"] - row["created_at"]).days == 2
    assert bytes(row["token_hash"]) == hashlib.sha256(token.encode()).digest()
    (change,) = _rows(postgres_dsn, "SELECT * FROM audit_log")
    assert (change["action"], change["subject"]) == ("user.invite", "ada@example.com")
    assert change["actor"].startswith("cli:")
    assert token not in str(change)


def test_nobody_is_invited_who_has_an_account_or_for_a_time_that_is_none(command):
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    status, _, err = command("invite", "ada@example.com")
    assert (status, "there is a user ada@example.com already" in err) == (1, True)
    status, _, err = command("invite", "bob@example.com", "--expires", "soon")
    assert (status, "--expires: a duration" in err) == (1, True)


def test_a_closed_gate_invites_nobody(command, monkeypatch):
    monkeypatch.setenv("GATEKEEPER__REGISTRATION__MODE", "closed")
    status, _, err = command("invite", "ada@example.com")
    assert (status, "registration.mode is closed" in err) == (1, True)


def test_the_owner_is_told_of_what_an_administrator_changed(command, postgres_dsn, monkeypatch):
    monkeypatch.setenv("GATEKEEPER__MAIL", "{from: gate@example.org, smtp: {host: mail.example.org}}")
    command("add", "ada@example.com", stdin=PASSWORD + "\n")
    assert command("passwd", "ada@example.com", stdin="another long password\n")[0] == 0
    assert command("reset-factors", "ada@example.com")[0] == 0
    rows = _rows(postgres_dsn, "SELECT channel, kind FROM outbox ORDER BY created_at, kind DESC")
    assert [(row["channel"], row["kind"]) for row in rows] == [("smtp", "password-changed"), ("smtp", "factor-removed")]
