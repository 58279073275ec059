"""Fixtures for all tests: real servers once a session, an empty database and an empty Valkey for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import servers
from axe import AXE
from databases import Databases, admitting
from fronts import FOREIGN
from hypothesis import HealthCheck, settings

_PROGRAMS = {
    "nginx": ("nginx",),
    "haproxy": ("haproxy",),
    "traefik": (str(FOREIGN / "bin" / "traefik"),),
    "envoy": (str(FOREIGN / "envoy" / "_bin" / "envoy"),),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
}
_deselected = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what takes long (make test-full)")


def pytest_configure(config: pytest.Config) -> None:
    examples = 2000 if config.getoption("--full") else 200
    settings.register_profile(
        "any load", max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any load")
    config.stash[_deselected] = []
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell, which ignores SIGINT there; the gates under test would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and say so: the long ones without ``--full``; outside CI, those whose program is missing."""
    reasons: dict[str, str] = {}
    if not config.getoption("--full"):
        reasons["full"] = "takes long; make test-full runs it"
    for marker in _missing():
        if not os.environ.get("CI"):
            reasons[marker] = f"{marker} is not installed"
    counts = dict.fromkeys(reasons, 0)
    kept, left_out = [], []
    for item in items:
        marker = next((name for name in reasons if item.get_closest_marker(name)), None)
        if marker:
            counts[marker] += 1
        (left_out if marker else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    lines = [f"{counts[name]} not run: {reason}" for name, reason in reasons.items() if counts[name]]
    config.stash[_deselected].extend(lines)
    if hasattr(config, "workeroutput"):  # a process of pytest-xdist, which prints nothing itself
        config.workeroutput["deselected"] = lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each process of pytest-xdist has left out the same."""
    told = getattr(node, "workeroutput", {})  # one that has crashed said nothing
    node.config.stash[_deselected] = told.get("deselected", node.config.stash[_deselected])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where CI lacks a program, its tests fail rather than vanish."""
    for marker in _missing():
        if item.get_closest_marker(marker):
            pytest.fail(f"{marker} is not installed", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured text goes to xdist's controller as UTF-8, which has no lone surrogates; hostile log lines do."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_deselected]:
        terminalreporter.write_line(line)


def _missing() -> list[str]:
    missing = [marker for marker, names in _PROGRAMS.items() if not any(map(shutil.which, names))]
    return missing if AXE.is_file() else [*missing, "axe"]


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A 0700 folder of the servers' user, with a path short enough for unix sockets."""
    with servers.short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Server]:
    """The session's PostgreSQL."""
    with (
        servers.short_folder() as folder,
        servers.postgres_server(folder, f"hba_file={admitting(folder)}") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def databases(postgres: servers.Server) -> Iterator[Databases]:
    """Migrated, empty databases; ``postgres_dsn`` is one a test."""
    from gatekeeper.store.migrate import migrate  # what it imports is under test

    lender = Databases(postgres)
    with ThreadPoolExecutor(1) as other:  # the fixture may be asked for inside a running loop
        other.submit(asyncio.run, migrate(lender.template())).result(servers.PATIENCE)
    lender.seal()
    yield lender
    lender.close()


@pytest.fixture
def postgres_dsn(databases: Databases) -> Iterator[str]:
    """The libpq URL of a migrated, empty database of the test's own."""
    url = databases.take()
    yield url
    databases.give_back(url)


@pytest.fixture(scope="session")
def valkey_of_session() -> Iterator[servers.Server]:
    """The session's Valkey."""
    with servers.short_folder() as folder, servers.valkey_server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_of_classes() -> Iterator[servers.Server]:
    """Another, which nobody empties between the tests of a class."""
    with servers.short_folder() as folder, servers.valkey_server(folder) as server:
        yield server


@pytest.fixture
def redis_url(valkey_of_session: servers.Server) -> str:
    """The URL, as redis-py takes it, of an empty Valkey."""
    with closing(redis.Redis.from_url(valkey_of_session.url)) as client:
        client.flushall()
    return valkey_of_session.url
