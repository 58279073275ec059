"""gatekeeper/store/embedded: who gets in, and what can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis
from embedding import ask, mode, owner, pid, started, vars_of

from gatekeeper.store.embedded import account


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


def test_addresses_show_no_password(new_data_dir: Path) -> None:
    with started(new_data_dir, postgres=False) as servers:
        assert repr(servers.addresses) == "StoreAddresses()"
