"""gatekeeper/store/embedded: first and later starts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import redis
from embedding import ask, copied, count, mode, open_to_all, started

from gatekeeper.errors import StartupError


def test_a_second_start_has_lost_nothing(new_data_dir: Path) -> None:
    with started(new_data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
        assert count(servers) == 1
        before = servers.addresses
    with started(new_data_dir) as servers:
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2
        assert servers.addresses == before


def test_only_what_was_asked_for_is_started(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False) as servers:
        assert servers.addresses.postgres is None
        assert count(servers) == 1
    assert not (new_data_dir / "postgres").exists()
    with started(new_data_dir / "none", postgres=False, redis=False) as servers:
        assert (servers.addresses.postgres, servers.addresses.redis) == (None, None)
    assert not (new_data_dir / "none").exists()


def test_the_database_belongs_to_a_role_that_is_no_superuser(data_dir: Path) -> None:
    with started(data_dir, redis=False) as servers:
        assert ask(servers, "SELECT current_user || ' ' || current_database()") == "gatekeeper gatekeeper"
        assert ask(servers, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        assert (
            ask(servers, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'gatekeeper'") == "gatekeeper"
        )
        assert ask(servers, "SHOW server_encoding") == "UTF8"
        assert ask(servers, "SHOW data_checksums") == "on"
        assert ask(servers, "SELECT upper('straße é') COLLATE \"C\" < 'a'") is True


def test_valkey_keeps_what_it_was_told_and_never_evicts(new_data_dir: Path) -> None:
    with (
        started(new_data_dir, postgres=False) as servers,
        closing(redis.Redis.from_url(servers.addresses.redis)) as client,
    ):
        names = ("appendonly", "appendfsync", "maxmemory-policy", "port")
        settings = {name: client.config_get(name)[name] for name in names}
    assert settings == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "port": "0"}


@pytest.mark.parametrize("name", ["x" * 120, "a,b c'd\"e"])
def test_a_folder_whose_path_does_not_suit_sockets_has_them_under_tmp(short_tmp: Path, model: Path, name: str) -> None:
    (short_tmp / name).mkdir()
    data_dir = copied(model, short_tmp / name / "data")
    with started(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
        count(servers)
        sockets = Path((data_dir / "socket-folder").read_text().strip())
        assert (mode(sockets), sockets.parent) == (0o700, Path("/tmp"))
    assert not sockets.exists()
    with started(data_dir) as servers:
        assert ask(servers, "SELECT value FROM kept") == 7


def test_a_recorded_socket_folder_that_others_may_enter_is_not_used(short_tmp: Path) -> None:
    data_dir, trap = short_tmp / ("x" * 120) / "data", short_tmp / "trap"
    data_dir.mkdir(parents=True)
    open_to_all(trap)
    (data_dir / "socket-folder").write_text(f"{trap}\n")
    with started(data_dir, postgres=False) as servers:
        assert count(servers) == 1
        assert str(trap) not in str(servers.addresses.redis)
    assert not list(trap.iterdir())


def test_a_socket_folder_that_others_may_enter_is_refused(new_data_dir: Path) -> None:
    new_data_dir.mkdir()
    open_to_all(new_data_dir / "run")
    with (
        pytest.raises(StartupError, match=r"run must be a folder of \w+ that nobody else may enter"),
        started(new_data_dir),
    ):
        pass


def test_a_first_start_that_was_killed_half_way_is_begun_anew(new_data_dir: Path) -> None:
    (new_data_dir / "postgres.new").mkdir(parents=True)
    (new_data_dir / "postgres.new" / "PG_VERSION").write_text("15\n")
    with started(new_data_dir, redis=False) as servers:
        assert ask(servers, "SELECT 1") == 1
    assert not (new_data_dir / "postgres.new").exists()


def test_lost_passwords_are_made_anew(data_dir: Path) -> None:
    with started(data_dir) as servers:
        before = servers.addresses
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
        count(servers)
    (data_dir / "postgres.password").unlink()
    (data_dir / "redis" / "redis.conf").unlink()
    with started(data_dir) as servers:
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2
        assert servers.addresses.postgres != before.postgres
        assert servers.addresses.redis != before.redis
