"""A gate with its first admin signed in."""

import pytest
from factories import PASSWORD
from forms import Browser
from gates import running_gate

ADMIN = "root@example.com"


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    """A gate as it is without a config.yaml, but that a password is enough for its admin."""
    mfa = {"require_for_roles": []}
    async with running_gate(postgres_dsn, redis_url, tmp_path, mfa=mfa) as running:
        yield running


@pytest.fixture
async def strict_gate(postgres_dsn, redis_url, tmp_path):
    """A gate as it is without a config.yaml: its admins need two factors."""
    async with running_gate(postgres_dsn, redis_url, tmp_path) as running:
        yield running


@pytest.fixture
async def admin(gate):
    """The first admin's browser."""
    browser = Browser(gate)
    answer = await browser.submit(f"/_gate/setup/{gate.setup_token}", {"email": ADMIN, "password": PASSWORD})
    assert answer.status == 303
    return browser


@pytest.fixture
async def ada(gate):
    """The browser of someone who is not an admin."""
    await gate.register("ada@example.com")
    browser = Browser(gate)
    assert (await browser.sign_in("ada@example.com", PASSWORD)).status == 303
    return browser
