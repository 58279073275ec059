"""``gatekeeper explain`` says who is banned, as the gate would have it."""

import asyncio
import json
from contextlib import contextmanager

import pytest
from factories import SECRET

from gatekeeper.cli import main
from gatekeeper.clock import SystemClock
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.sessions import UserState
from policies.bans import Ban, Source, of_user, parse_subject

ADA = "0f0e0d0c-0000-4000-8000-000000000001"


@pytest.fixture
def explain(postgres_dsn, tmp_path, capsys):
    """Explains ``GET /public`` after ``bans`` were made; returns status and output."""
    config = tmp_path / "config.yaml"
    rules = [{"name": "all", "path": "/**", "allow": "anyone"}]
    storage = {"postgres": postgres_dsn, "secret": SECRET}
    config.write_text(json.dumps({"storage": storage, "rules": rules, "bans": {"allow": ["192.0.2.9/32"]}}))

    async def make(bans):
        postgres = Postgres(postgres_dsn, size=1, timeout=30.0)
        now = SystemClock.now()
        try:
            ada = UserState(ADA, "ada@example.com", False, None, (), False, 1, 1)
            await PostgresAccounts(postgres).create(ada, None, now)
            subjects = [of_user(ADA) if text == "ada" else parse_subject(text) for text in bans]
            made = [Ban(subject, Source.MANUAL, now, None, "a pest", "cli:root") for subject in subjects]
            await PostgresBans(postgres, _nobody).put(made, now)
        finally:
            await postgres.close()

    def run(bans, *arguments, path="/public"):
        asyncio.run(make(bans))
        status = main(["--config", str(config), "explain", "GET", path, *arguments])
        return status, capsys.readouterr().out

    return run


async def _nobody(_version):
    """Tell nobody."""


@pytest.mark.parametrize(
    ("bans", "arguments", "says"),
    [
        (
            ["192.0.2.0/24", "192.0.0.0/16"],
            ["--ip", "192.0.2.1"],
            "192.0.2.0/24 is banned for good (manual, by cli:root",
        ),
        (["NL"], ["--ip", "145.97.0.1"], "NL is banned"),
        (["NL"], ["--country", "NL"], "NL is banned"),
        (["agent:sqlmap"], ["--header", "User-Agent: SQLmap/1.7"], "agent:sqlmap is banned"),
        (["ada"], ["--user", "Ada@Example.com"], "is banned for good (manual, by cli:root: a pest)"),
        (["ada", "192.0.2.9"], ["--user", "ada@example.com", "--ip", "192.0.2.9"], f"{ADA} is banned"),
    ],
)
def test_whoever_is_banned_is_denied_with_the_ban(explain, bans, arguments, says):
    status, out = explain(bans, *arguments)
    assert status == 1
    assert "denied: 403 banned: " in out
    assert says in out


@pytest.mark.parametrize(
    ("bans", "arguments"),
    [
        (["192.0.2.0/24", "DE", "agent:sqlmap", "ada"], ["--ip", "198.51.100.1", "--header", "User-Agent: curl"]),
        (["192.0.2.0/24", "DE", "agent:sqlmap", "ada"], ["--user", "eve@example.com", "--country", "NL"]),
        (["192.0.2.0/24", "ada"], []),
    ],
)
def test_whoever_is_not_is_judged_by_the_rules(explain, bans, arguments):
    status, out = explain(bans, *arguments)
    assert (status, "allowed: rule all" in out, "banned" in out) == (0, True, False)


def test_the_allow_list_wins_and_is_said(explain):
    status, out = explain(["192.0.2.0/24"], "--ip", "192.0.2.9")
    assert status == 0
    assert "192.0.2.0/24 is banned for good (manual, by cli:root: a pest), but 192.0.2.9/32 is in bans.allow" in out


def test_the_gate_s_own_pages_are_closed_too_but_not_health(explain):
    assert explain(["192.0.2.0/24"], "--ip", "192.0.2.1", path="/_gate/health/live")[0] == 0


def test_the_gate_s_login_is_closed_to_the_banned(explain):
    assert explain(["192.0.2.0/24"], "--ip", "192.0.2.1", path="/_gate/login")[0] == 1


@contextmanager
def _config(tmp_path, **storage):
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"storage": storage, "rules": [{"name": "all", "path": "/**", "allow": "anyone"}]}))
    yield str(file)


def test_a_database_that_is_away_is_said_and_the_rules_decide(tmp_path, capsys):
    dsn = "postgresql://u:hidden@127.0.0.1:1/none"
    with _config(tmp_path, postgres=dsn, secret=SECRET) as config:
        assert main(["--config", config, "explain", "GET", "/", "--ip", "192.0.2.1"]) == 0
    out = capsys.readouterr().out
    assert "bans could not be looked at: postgres: " in out
    assert "hidden" not in out
    assert "allowed: rule all" in out


def test_no_embedded_server_is_started_for_it(tmp_path, capsys):
    with _config(tmp_path, data_dir=str(tmp_path / "data")) as config:
        assert main(["--config", config, "explain", "GET", "/", "--ip", "192.0.2.1"]) == 0
    assert "bans were not looked at, as no gate of this data_dir runs" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()
