"""``gatekeeper hash``: what it prints is what a login takes, and what it refuses."""

import io
import sys

import pytest
from argon2 import PasswordHasher
from factories import PASSWORD

from gatekeeper.cli import main


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Runs ``gatekeeper hash`` with ``stdin``; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    config.write_text("passwords: {min_length: 12}\n")

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(["--config", str(config), "hash", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_the_hash_is_the_password_s_and_never_twice_the_same(command):
    (status, first, _), (_, second, _) = (command(stdin=f"{PASSWORD}\n") for _ in range(2))
    assert status == 0
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(first.strip(), PASSWORD)
    assert first != second
    assert command("--check", first.strip(), stdin=f"{PASSWORD}\n")[:2] == (0, "the password is the one of this hash\n")


def test_an_old_hash_is_said_to_be_one(command):
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("short")
    status, out, _ = command("--check", old, stdin="short\n")
    assert (status, out) == (0, "the password is the one of this hash, which is outdated\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ([], "", "one line on standard input"),
        ([], "\n", "one line on standard input"),
        ([], "short\n", "at least 12 characters"),
        ([], "password1234\n", "most common"),
        (["--check", "$argon2id$rubbish"], f"{PASSWORD}\n", "not the one of this hash"),
    ],
)
def test_what_cannot_be_hashed_or_does_not_fit_is_one_line(command, arguments, stdin, words):
    status, out, err = command(*arguments, stdin=stdin)
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert words in err
    assert PASSWORD not in err
