"""Second factors in a real browser: an app by its QR code, a virtual authenticator's passkey, step-up (issue 4)."""

from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from chromium import Person, look
from factories import PASSWORD
from passkeys import platform_authenticator
from person import press, sign_in

pytestmark = pytest.mark.chromium
HOME = "/_gate/account"


async def _enrol_app(page, gate):
    """By the account page; the secret is taken from the QR code's address. Returns what makes its codes."""
    await page.goto(f"{HOME}/factors")
    await press(page, "#totp button")
    uri = await page.get_attribute("a[href^='otpauth:']", "href")
    typed = (await page.inner_text("#secret")).replace(" ", "")
    assert parse_qs(urlsplit(uri).query)["secret"] == [typed]
    app = pyotp.parse_uri(uri)
    await page.fill("#code", "000000")
    return app


def _now(app, gate):
    return app.at(int(gate.clock.now()))


async def test_an_app_is_enrolled_and_asked_for_at_the_next_login(gate, ada):
    page = await ada.page()
    await page.goto(HOME)
    await sign_in(page)
    app = await _enrol_app(page, gate)
    await look(page, "totp")
    await press(page, "main button")
    assert "not a code" in await page.inner_text("#code-fault")
    await look(page, "totp-wrong")
    await page.fill("#code", _now(app, gate))
    await press(page, "main form:has(#code) button")
    codes = await page.locator(".codes code").all_inner_texts()
    assert len(set(codes)) == 10
    await look(page, "recovery-codes")
    await press(page, "main a.button")
    await look(page, "factors")
    await press(page, "header button")

    gate.clock.advance(31)
    await page.goto("/_gate/login?next=/notes")
    await sign_in(page)
    assert await page.inner_text("h1") == "One more step"
    await look(page, "second-factor")
    await page.fill("#code", "000000")
    await press(page, "main form:has(#code) button")
    assert await page.get_attribute("#code", "aria-invalid") == "true"
    await page.fill("#code", _now(app, gate))
    await page.check("form:has(#code) input[name=remember]")
    await press(page, "main form:has(#code) button")
    assert page.url == f"{gate.url}/notes"

    await page.goto("/_gate/logout")
    await press(page, "main button")
    await sign_in(page)
    assert page.url == f"{gate.url}/", "the device is remembered"


async def test_a_recovery_code_stands_in_once_for_a_lost_app(gate, ada, browser):
    page = await ada.page()
    await page.goto(HOME)
    await sign_in(page)
    app = await _enrol_app(page, gate)
    await page.fill("#code", _now(app, gate))
    await press(page, "main form:has(#code) button")
    code = await page.locator(".codes code").first.inner_text()
    other = await Person.sits_down(browser, gate.url)
    page = await other.page()
    for expected in ("/", "/_gate/second-factor"):
        await page.goto("/_gate/login")
        if "login" not in page.url:
            await other.context.clear_cookies()
            await page.goto("/_gate/login")
        await sign_in(page)
        await page.click("summary")
        await page.fill("#recovery-code", code)
        await press(page, "details button")
        assert page.url == gate.url + expected
    assert await page.get_attribute("#recovery-code", "aria-invalid") == "true"


async def test_a_passkey_is_added_and_signs_in_alone(gate, ada):
    page = await ada.page()
    devtools, authenticator = await platform_authenticator(page)
    await page.goto(f"{HOME}/factors")
    await sign_in(page)
    await page.fill("#passkey-name", "Laptop <b>")
    await press(page, "#passkeys form[data-passkey] button")
    assert len(await page.locator(".codes code").all()) == 10
    await press(page, "main a.button")
    assert "Laptop <b>" in await page.inner_text("#passkeys")
    await look(page, "factors-passkey")
    kept = await devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator["authenticatorId"]})
    assert len(kept["credentials"]) == 1
    await press(page, "header button")

    await page.goto("/_gate/login?next=/notes")
    await look(page, "login-passkey")
    await press(page, "form[data-passkey] button")
    assert page.url == f"{gate.url}/notes"

    await page.goto("/_gate/logout")
    await press(page, "main button")
    await sign_in(page)
    await press(page, "form[data-passkey] button")
    assert page.url == f"{gate.url}/", "the passkey is a second factor beside the password too"


async def test_a_page_that_wants_a_fresh_login_is_landed_on_after_the_step_up(gate, ada):
    page = await ada.page()
    await page.goto("/notes")
    await sign_in(page)
    gate.clock.advance(601)
    await page.goto("/reports/2026?quarter=3")
    assert page.url.startswith(f"{gate.url}/_gate/step-up?next=")
    await look(page, "step-up")
    await page.fill("#password", "a wrong password")
    await press(page, "form:has(#password) button")
    assert await page.get_attribute("#password", "aria-invalid") == "true"
    await page.fill("#password", PASSWORD)
    await press(page, "form:has(#password) button")
    assert page.url == f"{gate.url}/reports/2026?quarter=3"


async def test_an_interrupted_form_is_offered_again_and_not_dropped(gate, ada, upstream):
    page = await ada.page()
    await page.goto("/notes")
    await sign_in(page)
    gate.clock.advance(601)
    await page.goto("/notes/form")
    await page.evaluate(
        "() => { const form = document.createElement('form'); form.method = 'post'; form.action = '/reports/7';"
        " document.body.append(form); form.submit(); }"
    )
    await page.wait_for_url("**/_gate/step-up?**")
    assert "POST /reports/7 was not sent" in await page.inner_text("main")
    await page.fill("#password", PASSWORD)
    await press(page, "form:has(#password) button")
    await look(page, "step-up-interrupted")
    await press(page, "main a.button")
    assert page.url == f"{gate.url}/notes/form"
    assert not [one for one in upstream.requests if one.method == "POST"]


async def test_changing_factors_with_an_old_login_asks_for_a_fresh_one_first(gate, ada):
    page = await ada.page()
    await page.goto(f"{HOME}/factors")
    await sign_in(page)
    gate.clock.advance(301)
    await press(page, "#totp button")
    assert "/_gate/step-up" in page.url
    await page.fill("#password", PASSWORD)
    await press(page, "form:has(#password) button")
    assert page.url == f"{gate.url}{HOME}/factors"
    await press(page, "#totp button")
    assert await page.locator("#secret").is_visible()


async def test_the_first_admin_adds_a_factor_before_anything_else_opens(gate, browser):
    person = await Person.sits_down(browser, gate.url)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#email", "root@example.com")
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await page.goto("/notes?page=2")
    assert page.url.startswith(f"{gate.url}/_gate/account/factors?next=")
    await look(page, "must-enrol")
    await page.goto(HOME)
    assert page.url.startswith(f"{gate.url}/_gate/account/factors"), "nothing else is open yet"
    await page.goto("/notes?page=2")
    await press(page, "#totp button")
    app = pyotp.parse_uri(await page.get_attribute("a[href^='otpauth:']", "href"))
    await page.fill("#code", _now(app, gate))
    await press(page, "main form:has(#code) button")
    await press(page, "main a.button")
    assert page.url == f"{gate.url}/notes?page=2"
    assert person.complaints == []
