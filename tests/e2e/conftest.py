"""A whole gate, a service behind it, and Debian's Chromium in front."""

from contextlib import closing

import pytest
import pytest_asyncio
import redis
from chromium import Person, chromium
from factories import PASSWORD
from gates import running_gate
from person import press
from upstreams import Upstream

EMAIL = "ada@example.com"


@pytest.fixture
async def upstream():
    """A service behind the gate."""
    async with Upstream() as recording:
        yield recording


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    """A gate with rules for everyone who is signed in; reports ask for a fresh login."""
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "health", "path": "/health", "methods": ["GET"], "allow": "anyone"},
            {"name": "reports", "path": "/reports/**", "allow": "authenticated", "step_up": "10m"},
            {"name": "staff", "path": "/staff/**", "allow": {"roles": ["staff"]}},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "limits": {"login_per_ip": "1000/minute", "register_per_ip": "1000/minute"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def gate_of_class(databases, valkey_of_classes, tmp_path_factory):
    """The same for all tests of a class (``gates.OneGate``); its admins need two factors."""
    dsn = databases.take()
    with closing(redis.Redis.from_url(valkey_of_classes.url)) as client:
        client.flushall()
    settings = {"limits": {"login_per_ip": "1000/minute", "register_per_ip": "1000/minute"}}
    folder = tmp_path_factory.mktemp("gate")
    async with running_gate(dsn, valkey_of_classes.url, folder, host="localhost", **settings) as running:
        yield running
    databases.give_back(dsn)


@pytest.fixture
async def browser():
    """Chromium."""
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def browser_of_class():
    """The same Chromium for all tests of a class."""
    async with chromium() as started:
        yield started


@pytest.fixture
async def ada(gate, browser):
    """Somebody with an account, before her browser; its console stays empty."""
    await gate.register(EMAIL)
    person = await Person.sits_down(browser, gate.url)
    yield person
    assert person.complaints == []


@pytest.fixture
async def admin(gate, browser):
    """The first admin before the panel; what the browser complains of is a fault."""
    person = await Person.sits_down(browser, gate.url)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#email", "root@example.com")
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    yield page
    assert person.complaints == []
