"""The panel in a real browser: every page in both sizes and schemes, and acts as an admin does them (issue 7)."""

import asyncio

import pytest
from chromium import NARROW, PATIENCE, Person, look
from factories import PASSWORD
from gates import running_gate
from panel_rows import fill
from person import press

pytestmark = pytest.mark.chromium
ADMIN = "root@example.com"
PAGES = ["", "signals", "logins", "map", "sessions", "users", "users/invite", "bans", "rules"]
PAGES += ["activity", "activity/live", "keys", "config"]


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "staff", "path": "/staff/**", "allow": {"roles": ["staff"]}},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "mfa": {"require_for_roles": []},
        "limits": {"login_per_ip": "1000/minute", "register_per_ip": "1000/minute"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


async def _peopled(gate):
    for name in ("ada", "bob", "eve"):
        await gate.newcomer(f"{name}@example.com")
    await fill(gate)


@pytest.mark.full
async def test_every_page_can_be_read_in_both_sizes_and_schemes(gate, admin):
    for path in PAGES:
        await admin.goto(f"/_gate/admin/{path}")
        await look(admin, f"panel-empty-{path.replace('/', '-') or 'overview'}")
    await _peopled(gate)
    for path in PAGES:
        await admin.goto(f"/_gate/admin/{path}")
        await look(admin, f"panel-{path.replace('/', '-') or 'overview'}")
    await admin.goto("/_gate/admin/logins?result=failure&country=US&range=24h")
    await look(admin, "panel-logins-filtered")
    await admin.click("tbody td[data-label=Time] a")
    await look(admin, "panel-login")
    await admin.goto("/_gate/admin/search?q=ada")
    await look(admin, "panel-user")
    await admin.click("text=Lock…")
    await look(admin, "panel-user-lock")
    await admin.goto("/_gate/admin/rules?method=GET&url=/staff/x&user=ada@example.com")
    await look(admin, "panel-rules-denied")
    await admin.goto("/_gate/admin/rules?url=nonsense")
    await look(admin, "panel-rules-fault")


async def test_an_admin_finds_somebody_locks_them_and_reads_about_it(gate, admin):
    tokens = await gate.newcomer("ada@example.com")
    await admin.goto("/_gate/admin/")
    await admin.fill("input[name=q]", "ada@")
    await admin.press("input[name=q]", "Enter")
    await admin.wait_for_url("**/users/*")
    await admin.click("summary:has-text('Lock…')")
    await admin.fill("#lock-why", "lost laptop <b>")
    await press(admin, ".act[open] button")
    assert "is locked" in await admin.inner_text("[role=status]")
    assert "locked" in await admin.inner_text(".head")
    assert "lost laptop <b>" in await admin.inner_text("table[aria-labelledby=changes]")
    answer = await gate.call("GET", "/x", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status == 401


async def test_times_are_the_viewers_and_the_list_follows_what_happens(gate, browser):
    person = await Person.sits_down(browser, gate.url, timezone_id="Asia/Tokyo", viewport=NARROW)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#email", ADMIN)
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await page.goto("/_gate/admin/sessions")
    shown = page.locator("td[data-label=Started] time").first
    assert (await shown.inner_text()).strip() == "just now"
    await shown.focus()
    assert "2027-01-15 17:00:00 · 2027-01-15 08:00:00 UTC" in await shown.inner_text()
    await shown.blur()
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.name") == "q"
    await page.keyboard.press("/")
    assert await page.input_value("[name=q]") == "/"
    await page.locator("[name=q]").blur()
    await gate.newcomer("ada@example.com")
    await page.evaluate("document.body.dispatchEvent(new CustomEvent('panel-tick'))")
    await page.wait_for_selector("td:has-text('ada@example.com')")
    assert person.complaints == []


async def test_logins_are_followed_like_a_log_until_it_is_paused(gate, admin):
    await admin.goto("/_gate/admin/logins")
    await gate.newcomer("ada@example.com")
    await admin.evaluate("document.body.dispatchEvent(new CustomEvent('panel-tick'))")
    await admin.wait_for_selector("tr.just-come:has-text('ada@example.com')")
    assert await admin.locator("tr.just-come").count() == await admin.locator("tr:has-text('ada@')").count()
    await admin.click("#tail")
    assert await admin.inner_text("#tail") == "Paused"
    await gate.newcomer("bob@example.com")
    await admin.click("#tail")
    await admin.wait_for_selector("tr.just-come:has-text('bob@example.com')")
    assert await admin.locator("tr.just-come:has-text('ada@')").count() == 0


async def test_the_pages_work_without_script(gate, browser):
    person = await Person.sits_down(browser, gate.url, java_script_enabled=False, viewport=NARROW)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#email", ADMIN)
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await gate.newcomer("ada@example.com")
    await page.goto("/_gate/admin/")
    await page.click(".menu summary")
    await press(page, ".menu a:has-text('Sessions')")
    await page.click("tr:has-text('ada@example.com') .act summary")
    await page.fill("tr:has-text('ada@example.com') input[name=why]", "test")
    await press(page, "tr:has-text('ada@example.com') button")
    assert "The session has ended" in await page.inner_text("[role=status]")
    assert "ada@example.com" not in await page.inner_text("main table")


async def test_what_happens_is_on_the_live_page_because_the_stream_says_so(gate, admin):
    """Although it happens before the stream is open."""
    await admin.add_init_script("window.setInterval = () => 0")  # not because it was time for another look
    asked, opened = asyncio.Event(), asyncio.Event()

    async def open_later(route):
        asked.set()
        await opened.wait()
        await route.continue_()

    await admin.route("**/activity/stream*", open_later)
    await admin.goto("/_gate/admin/activity/live")
    async with asyncio.timeout(PATIENCE / 1000):
        await asked.wait()
    await gate.newcomer("ada@example.com")
    opened.set()
    await admin.wait_for_selector("td:has-text('ada@example.com')")
