"""The gate's own pages in a real browser, over a whole gate (issue 4; security 8, 21, 22)."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from axe import serious_faults
from chromium import NARROW, Person, look
from person import EMAIL, press, sign_in

pytestmark = pytest.mark.chromium
CORPUS = (Path(__file__).parents[1] / "data" / "openredirects.txt").read_text(encoding="utf-8").splitlines()
AWAY = ["//google.com", "http://google.com", "/\\google.com", "/\t/google.com", "javascript:alert(1)"]


async def test_login_account_and_refusals_in_both_sizes_and_schemes(ada):
    page = await ada.page()
    await page.goto("/_gate/account")
    await look(page, "login")
    await sign_in(page, password="a wrong password")
    assert "wrong" in await page.inner_text("[role=alert]")
    await look(page, "login-wrong")
    await sign_in(page)
    await page.wait_for_url("**/_gate/account")
    await page.click("#password summary")
    await page.click("#e-mail summary")
    await look(page, "account")
    await page.goto("/staff/x")
    await look(page, "not-allowed")
    await page.goto("/_gate/logout")
    await look(page, "logout")


async def test_the_first_admins_page(gate, browser):
    person = await Person.sits_down(browser, gate.url)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#password", "short")
    await press(page, "main button[type=submit]")
    await look(page, "setup")
    assert person.complaints == []


async def test_pages_speak_german_where_the_browser_does(gate, ada, browser):
    person = await Person.sits_down(browser, gate.url, locale="de-DE")
    page = await person.page()
    await page.goto("/_gate/account")
    assert await page.inner_text("h1") == "Anmelden"
    await sign_in(page)
    await look(page, "account-de")
    await press(page, ".languages button[lang=en]")
    assert await page.inner_text("h1") == "Your account"
    await page.reload()
    assert await page.get_attribute("html", "lang") == "en"


async def test_a_session_that_is_ended_from_another_browser_is_thrown_out_at_its_next_click(gate, ada, browser):
    other = await Person.sits_down(browser, gate.url, viewport=NARROW)
    elsewhere, here = await other.page(), await ada.page()
    for page in (elsewhere, here):
        await page.goto("/_gate/account")
        await sign_in(page)
    await elsewhere.goto("/notes")
    assert "login" not in elsewhere.url
    await here.reload()
    await look(here, "account-sessions")
    await press(here, "button[aria-label^='End the session of']")
    assert "The session has ended." in await here.inner_text("[role=status]")
    await elsewhere.goto("/notes")
    assert elsewhere.url == f"{gate.url}/_gate/login?next=%2Fnotes"
    await here.goto("/notes")
    assert here.url == f"{gate.url}/notes"


async def test_everything_can_be_reached_and_read_with_the_keyboard_alone(ada):
    page = await ada.page()
    await page.goto("/_gate/login")
    for text in (EMAIL, "correct horse battery 9"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await page.goto("/_gate/account")
    seen = []
    while True:
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement === document.body"):
            break
        seen.append(await page.evaluate("document.activeElement.innerText || document.activeElement.name || ''"))
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"the focus on {seen[-1]!r} cannot be seen"
    for wanted in ("Skip to content", "Sign out", "Save name", "Change password", "Deutsch"):
        assert wanted in seen


async def _follow_as_next(gate, ada, targets):
    """The login page is told to go on to each; what the browser then wanted of others."""
    left = []

    async def keep_in(route):
        if route.request.url.startswith(f"{gate.url}/"):
            await route.continue_()
        else:
            left.append(route.request.url)
            await route.abort()

    async def follow(page, targets):
        for target in targets:
            await page.goto(f"/_gate/login?next={quote(target, safe='')}", wait_until="commit")
            assert page.url.startswith(f"{gate.url}/"), target

    tabs = [await ada.page() for _ in range(4)]
    await sign_in(tabs[0])
    await ada.context.route("**/*", keep_in)
    await asyncio.gather(*(follow(tab, targets[number :: len(tabs)]) for number, tab in enumerate(tabs)))
    return left


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_no_string_of_the_corpus_leads_a_browser_elsewhere(gate, ada):
    """security 21; over HTTP it is always tried (tests/gatekeeper/pages/test_open_redirects.py)"""
    assert await _follow_as_next(gate, ada, CORPUS) == []


async def test_what_browsers_read_as_another_origin_does_not_lead_them_there(gate, ada):
    """security 21"""
    assert await _follow_as_next(gate, ada, AWAY) == []


@pytest.mark.axe
async def test_axe_sees_what_is_wrong_with_a_page(ada):
    page = await ada.page()
    await page.set_content("<html><body><img src='data:,'><input></body></html>")
    assert await serious_faults(page) != []
