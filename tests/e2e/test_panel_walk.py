"""A short walk through the whole panel: every page that a link leads to, and all that can be done (issue 7).

Over a gate whose strangers send markup. The long walks are in test_panel_walks.py.
"""

from contextlib import closing

import pytest
import pytest_asyncio
import redis
from gates import OneGate, bearer, running_gate
from panel_acts import Doer
from panel_admin import Admin
from panel_crawl import CORPUS, HOME
from panel_rows import COUNTS, LOGINS
from panel_strangers import poisoned
from panel_walk import EVE, SETTINGS, WALKER, Walk
from upstreams import Upstream

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(600)]
#: Acts on what only the demo's company has.
RARE = {"signals/{}/lock", "signals/{}/end", "users/{}/revoke-key", "users/{}/remove-factor"}
SOME = CORPUS[::6]
PWNED = "window.pwned = () => console.error('a script of a stranger has run')"


async def _people(gate):
    """A month of logins, and people who are in."""
    for name in ("ada", "bob", "bobby"):
        tokens = await gate.newcomer(f"{name}@example.com")
        await gate.call("GET", "/reports/1", headers=bearer(tokens))
    await gate.login("bob@example.com")
    await gate.newcomer(EVE)
    for sql in (LOGINS, COUNTS):
        await gate.rows(f"{sql}; SELECT 1 AS one")


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def gate_of_class(databases, valkey_of_classes, tmp_path_factory):
    dsn = databases.take()
    with closing(redis.Redis.from_url(valkey_of_classes.url)) as client:
        client.flushall()
    async with Upstream() as upstream:
        settings = {**SETTINGS, "upstreams": {"api": {"targets": [upstream.address]}}}
        folder = tmp_path_factory.mktemp("gate")
        async with running_gate(dsn, valkey_of_classes.url, folder, host="localhost", **settings) as running:
            running.gatekeeper.reloads.request = lambda: None  # there is no supervisor here
            yield running
    databases.give_back(dsn)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def walk(gate_of_class, browser_of_class):
    await _people(gate_of_class)
    admin = await Admin.sits_down(gate_of_class, browser_of_class, email=WALKER)
    await admin.person.context.add_init_script(PWNED)
    await admin.goes(f"{HOME}/")  # before somebody tries many names from the same address
    await poisoned(gate_of_class, SOME)
    walk = Walk(admin)
    await walk.go(brief=True)
    return walk


class TestAShortWalk(OneGate):
    async def test_comes_by_every_page(self, walk):
        assert walk.missed() == set()
        assert walk.admin.person.complaints == []

    async def test_meets_what_strangers_send_as_text_on_every_page(self, walk):
        """security 22; all of the corpus in test_panel_text.py"""
        everything = "\n".join(walk.shown)
        assert [text for text in SOME if " ".join(text.split()) not in everything] == []
        assert walk.intruders == []

    async def test_can_do_everything_that_is_offered(self, walk):
        await walk.does_everything(Doer(walk.admin), but=RARE)
        assert walk.admin.person.complaints == []
