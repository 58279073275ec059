"""A whole gate and the upstream behind it, for the tests that meet the gate as a client does."""

from contextlib import closing

import pytest
import pytest_asyncio
import redis
from gates import running_gate
from upstreams import Upstream


@pytest.fixture
async def upstream():
    """An upstream that records what reaches it and answers ``{"ok":true}``."""
    async with Upstream() as recording:
        yield recording


@pytest.fixture
def express():
    """Whether plain requests are served without the framework; test files that matter to try both."""
    return True


def _settings(upstream):
    """A public rule, a role rule and a rule for everyone who is signed in."""
    return {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "health", "path": "/health", "methods": ["GET"], "allow": "anyone"},
            {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "limits": {
            "login_per_ip": "1000/minute",
            "register_per_ip": "1000/minute",
            "refresh_per_session": "1000/minute",
        },
    }


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream, express):
    """A gate of the test's own."""
    async with running_gate(postgres_dsn, redis_url, tmp_path, express=express, **_settings(upstream)) as running:
        yield running


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def gate_of_class(databases, valkey_of_classes, tmp_path_factory):
    """The same for all tests of a class (``gates.OneGate``)."""
    dsn = databases.take()
    with closing(redis.Redis.from_url(valkey_of_classes.url)) as client:
        client.flushall()
    data_dir = tmp_path_factory.mktemp("gate")
    async with (
        Upstream() as recording,
        running_gate(dsn, valkey_of_classes.url, data_dir, **_settings(recording)) as running,
    ):
        yield running
    databases.give_back(dsn)
