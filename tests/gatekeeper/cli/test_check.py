"""``gatekeeper check`` over real servers: each thing it looks at, good and bad."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis
import servers

from gatekeeper.cli import main
from gatekeeper.store.embedded import embedded_servers

Check = Callable[..., tuple[int, list[str], list[str]]]
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def check(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    postgres_dsn: str,
    redis_url: str,
    free_port: int,
) -> Check:
    def check_it(text: str = "", **environ: str) -> tuple[int, list[str], list[str]]:
        """Exit status, lines of stdout, lines of stderr; over external servers unless ``environ`` says otherwise."""
        (tmp_path / "gate.yaml").write_text(text)
        defaults = {
            "STORAGE__POSTGRES": postgres_dsn,
            "STORAGE__REDIS": redis_url,
            "STORAGE": f"{{secret: {SECRET}}}",
            "LISTEN": f"127.0.0.1:{free_port}",
            "PUBLIC_URL": f"http://127.0.0.1:{free_port}",
        }
        for name, value in (defaults | environ).items():
            monkeypatch.setenv(f"GATEKEEPER__{name}", value)
        status = main(["check", "--config", str(tmp_path / "gate.yaml")])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return check_it


def line(lines: list[str], item: str) -> str:
    (found,) = [one for one in lines if one.split()[1] == item]
    return found


def test_a_good_configuration_is_ok_line_by_line(check: Check, free_port: int) -> None:
    status, out, err = check()
    assert (status, err) == (0, [])
    assert all(one.split()[0] in {"ok", "warn"} for one in out)
    assert "1 upstream, 2 rules" in line(out, "config")
    assert f"scheme http, host 127.0.0.1, port {free_port}" in line(out, "address")
    assert "gate, gate-refresh" in line(out, "cookies")
    assert "not Secure" in line(out, "cookies")
    assert "given by the configuration" in line(out, "secret")
    assert "bundled, built 20" in line(out, "geo")
    assert "http://127.0.0.1:9000 is 127.0.0.1" in line(out, "upstreams.api")
    assert "is free" in line(out, "listen")
    assert "migrations: up to date" in line(out, "postgres")
    assert "noeviction" in line(out, "redis")


def test_the_shared_origin_of_the_panel_is_warned_of(check: Check) -> None:
    """security 29"""
    warned = line(check()[1], "panel")
    assert warned.startswith("warn ")
    assert "shares its origin with the upstreams" in warned


def test_a_panel_on_a_listener_of_its_own_is_said_with_its_address(check: Check) -> None:
    """security 29"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = check(f"admin: {{listen: '127.0.0.1:{port}'}}\n")
    assert f"http://127.0.0.1:{port}/_gate/admin, by admin.listen" in line(out, "panel")
    assert line(out, "panel").startswith("ok ")
    assert (status, "is in use" in line(err, "admin.listen")) == (1, True)


def test_no_password_is_printed(check: Check) -> None:
    _, out, err = check(
        STORAGE__POSTGRES="postgresql://u:hunter2@127.0.0.1:1/d", STORAGE__REDIS="redis://:hunter2@127.0.0.1:1/0"
    )
    assert "hunter2" not in "".join(out + err)


def test_faults_of_the_configuration_are_marked_and_have_their_place(check: Check) -> None:
    status, _, err = check("workers: 0\ntokens: {access_tll: 1m}\n")
    assert status == 1
    assert [one.split(": ")[1] for one in err] == ["workers", "tokens.access_tll"]
    assert all(one.startswith("FAULT ") and "gate.yaml:" in one for one in err)


def test_https_means_host_cookies_and_a_proxy_in_front(check: Check) -> None:
    _, out, _ = check("hosts: ['*.example.org']\n", PUBLIC_URL="https://app.example.org")
    assert "__Host-gate, __Host-gate-refresh" in line(out, "cookies")
    addresses = [one for one in out if one.split()[1] == "address"]
    assert "port 443" in addresses[0]
    assert "*.example.org (any port)" in addresses[1]
    assert addresses[2].startswith("warn ")
    assert "trusted_proxies" in addresses[2]


def test_a_public_url_at_which_nothing_listens_is_warned_of(check: Check) -> None:
    _, out, _ = check(PUBLIC_URL="http://127.0.0.1:1")
    assert any("nothing listens on port 1" in one for one in out)


def test_a_database_of_places_that_does_not_open_is_a_fault(check: Check, tmp_path: Path) -> None:
    (tmp_path / "geo.mmdb").write_bytes(b"not a database")
    status, _, err = check("geo: {database: geo.mmdb}\n")
    assert status == 1
    assert "geo.mmdb" in line(err, "geo")


def test_an_upstream_whose_name_does_not_resolve_is_a_fault(check: Check, tmp_path: Path) -> None:
    text = f"upstreams:\n  api: {{targets: ['http://nowhere.invalid:80', 'unix:{tmp_path}/absent']}}\n"
    status, out, err = check(text)
    assert status == 1
    assert "http://nowhere.invalid:80: the name does not resolve" in line(err, "upstreams.api")
    assert line(out, "upstreams.api").startswith("warn ")


def test_the_socket_of_an_upstream_must_be_one(check: Check, tmp_path: Path) -> None:
    status, _, err = check(f"upstreams:\n  api: {{targets: ['unix:{tmp_path}/gate.yaml']}}\n")
    assert status == 1
    assert "is not a socket" in line(err, "upstreams.api")


@pytest.fixture
def taken_port(free_port: int) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", free_port))):
        yield free_port


def test_a_port_that_another_program_holds_is_a_fault(check: Check, taken_port: int) -> None:
    status, _, err = check()
    assert status == 1
    assert f"127.0.0.1:{taken_port}" in line(err, "listen")


def test_a_port_that_the_running_gate_holds_is_none(check: Check, taken_port: int, short_tmp: Path) -> None:
    data = short_tmp / "data"
    with embedded_servers(data, postgres=False, redis=True):
        status, out, err = check(STORAGE__REDIS="embedded", STORAGE__DATA_DIR=str(data))
    assert (status, err) == (0, [])
    assert f"127.0.0.1:{taken_port}: the gate of this data_dir runs (process " in line(out, "listen")
    assert "embedded answers" in line(out, "redis")


def test_a_lock_that_nobody_holds_any_more_excuses_no_port(check: Check, taken_port: int, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").write_text("1\n")
    status, _, err = check()
    assert status == 1
    assert f"127.0.0.1:{taken_port}" in line(err, "listen")


def test_a_secret_in_the_data_folder_is_looked_at(check: Check, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    _, out, _ = check(STORAGE="{secret: null}")
    assert any(f"will be made in {data}/secret" in one for one in out)
    (data / "secret").write_text(SECRET)
    (data / "secret").chmod(0o644)
    status, _, err = check(STORAGE="{secret: null}")
    assert status == 1
    assert "can be read by others" in line(err, "secret")
    (data / "secret").chmod(0o600)
    _, out, _ = check(STORAGE="{secret: null}")
    assert f"ok    secret         in {data}/secret" in out
    assert any("several gates" in one for one in out)


def test_an_unreachable_database_and_redis_are_faults_in_one_line_each(check: Check) -> None:
    status, _, err = check(STORAGE__POSTGRES="postgresql://u:pw@127.0.0.1:1/d", STORAGE__REDIS="redis://127.0.0.1:1/0")
    assert status == 1
    assert "postgresql://u:***@127.0.0.1:1/d" in line(err, "postgres")
    assert "redis://127.0.0.1:1/0" in line(err, "redis")


def test_an_empty_database_is_told_to_be_migrated(check: Check, postgres: servers.Server) -> None:
    with closing(psycopg2.connect(postgres.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE check_empty")
            try:
                _, out, _ = check(STORAGE__POSTGRES=postgres.url.replace("@/postgres?", "@/check_empty?"))
            finally:
                cursor.execute("DROP DATABASE check_empty WITH (FORCE)")
    assert "to be applied at the next start" in line(out, "postgres")


def test_a_redis_that_evicts_is_refused(check: Check, short_tmp: Path) -> None:
    with servers.valkey_server(short_tmp) as server:
        with closing(redis.Redis.from_url(server.url)) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        status, _, err = check(STORAGE__REDIS=server.url)
    assert status == 1
    assert "maxmemory-policy is allkeys-lru" in line(err, "redis")


def test_embedded_servers_are_tried_and_stopped_again(check: Check, short_tmp: Path) -> None:
    status, out, err = check(
        STORAGE__POSTGRES="embedded", STORAGE__REDIS="embedded", STORAGE__DATA_DIR=str(short_tmp / "data")
    )
    assert (status, err) == (0, [])
    assert "embedded answers" in line(out, "postgres")
    assert "embedded answers" in line(out, "redis")
    with embedded_servers(short_tmp / "data", postgres=False, redis=True) as again:
        assert not again.attached, "nothing of the check's runs any more"


def test_tls_to_an_upstream_is_tried_and_blind_trust_is_a_warning(check: Check, tmp_path: Path) -> None:
    text = "upstreams:\n  api: {targets: ['https://127.0.0.1:1'], tls: {cert: absent.pem, verify: false}}\n"
    status, out, err = check(text)
    assert status == 1
    assert line(err, "upstreams.api.tls.cert").endswith(f"{tmp_path}/absent.pem: No such file or directory")
    assert line(out, "upstreams.api.tls.verify").startswith("warn")
    both = tmp_path / "absent.pem"
    both.write_text("no certificate\n")
    both.chmod(0o644)
    assert line(check(text)[2], "upstreams.api.tls.cert").endswith("in PEM that can be used")
