"""A whole gate and the upstream behind it, for the tests that meet the gate as a client does."""

import pytest
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


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream, express):
    """A gate with a public rule, a role rule and a rule for everyone who is signed in."""
    rules = [
        {"name": "health", "path": "/health", "methods": ["GET"], "allow": "anyone"},
        {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
        {"name": "api", "path": "/**", "allow": "authenticated"},
    ]
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": rules,
        "limits": {
            "login_per_ip": "1000/minute",
            "register_per_ip": "1000/minute",
            "refresh_per_session": "1000/minute",
        },
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, express=express, **settings) as running:
        yield running
