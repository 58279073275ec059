"""An admin with an app and a passkey is asked for them in the panel; who forges a form or looks only changes nothing
(security 8, 22).
"""

import itertools

import pytest
import pytest_asyncio
from gates import OneGate
from panel_admin import CONFIRMED, LOGIN, SECOND, STEP_UP, Admin
from panel_crawl import HOME
from person import press

pytestmark = pytest.mark.chromium
FRESH, IDLE = 300, 900  # seconds
#: A page of another service on the same host, whose form the browser sends with the gate's cookies.
FORGED = """<!doctype html><title>Prizes</title><form method="post" action="{action}">
<input name="why" value="a prize"></form><script>document.forms[0].submit()</script>"""
ELSEWHERE = "http://localhost:1/"
_numbers = itertools.count()


async def _lock(page):
    await page.click("summary:has-text('Lock…')")
    await page.fill("#lock-why", "lost laptop")
    await press(page, ".act[open] button")


async def _is_locked(gate, user):
    (row,) = await gate.rows(f"SELECT locked FROM users WHERE id = '{user['id']}'")
    return row["locked"]


class TestAnAdminWithTwoFactors(OneGate):
    @pytest_asyncio.fixture(loop_scope="class")
    async def root(self, gate, browser_of_class):
        admin = await Admin.sits_down(gate, browser_of_class, email=f"root{next(_numbers)}@example.com")
        yield admin
        assert admin.person.complaints == []
        await admin.person.context.close()

    @pytest_asyncio.fixture(loop_scope="class")
    async def user(self, gate):
        return await gate.register(f"user{next(_numbers)}@example.com")

    async def test_shows_the_app_again_before_an_act_and_finds_the_form_again(self, gate, root, user):
        page, address = root.page, f"{HOME}/users/{user['id']}"
        await root.goes(address)
        assert root.proved == [LOGIN, SECOND]
        gate.clock.advance(FRESH + 1)
        await _lock(page)
        assert "was not sent" in await page.inner_text("main")
        await root.types_code("000000")
        assert await page.get_attribute("[name=code]", "aria-invalid") == "true"
        assert not await _is_locked(gate, user)
        await root.proves()
        assert (root.proved[2:], page.url) == ([STEP_UP, CONFIRMED], gate.url + address)
        await _lock(page)
        assert "is locked" in await page.inner_text("main [role=status]")

    async def test_shows_a_passkey_after_a_time_away_before_a_page_is_shown(self, gate, root):
        page = root.page
        await root.adds_a_passkey()
        await root.goes(f"{HOME}/sessions")
        gate.clock.advance(IDLE + 1)
        await page.click("nav a:has-text('Users')")
        assert await root.asked() == STEP_UP
        await press(page, "form[data-passkey] button")
        assert page.url == f"{gate.url}{HOME}/users"

    async def test_is_not_acted_for_by_a_form_of_another_service_on_the_host(self, gate, root, user):
        page = root.page
        await root.goes(f"{HOME}/")
        action = f"{gate.url}{HOME}/users/{user['id']}/lock"

        async def forge(route):
            await route.fulfill(body=FORGED.format(action=action), content_type="text/html")

        await page.route(ELSEWHERE, forge)
        async with page.expect_navigation(url=action) as sent:
            await page.goto(ELSEWHERE)
        assert ((await sent.value).status, await _is_locked(gate, user)) == (403, False)
        assert "sent from somewhere else" in await page.inner_text("main")

    async def test_signs_in_again_after_a_logout_in_another_tab_before_a_form_counts(self, gate, root, user):
        page = root.page
        await root.goes(f"{HOME}/users/{user['id']}")
        other = await root.person.page()
        await other.goto("/_gate/logout")
        await press(other, "main button")
        await _lock(page)
        assert (await root.asked(), await _is_locked(gate, user)) == (LOGIN, False)
        await root.proves()
        assert page.url.startswith(f"{gate.url}{HOME}/")
