"""Mailed codes as a browser without JavaScript meets them: login, second factor, step-up (security 15, 19, 21)."""

import re
from html import unescape

import pyotp
import pytest
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate, running_gate

EMAIL = "ada@example.com"
OTP = "/_gate/otp"
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def browser(gate):
    return Browser(gate)


@pytest.fixture
async def ada(gate):
    return await gate.register(EMAIL)


@pytest.fixture
async def app(gate, ada):
    """Ada's authenticator app, so that her logins have a second step."""
    owner = Browser(gate)
    await owner.sign_in(EMAIL, PASSWORD)
    page = await (await owner.submit("/_gate/account/factors/totp", {})).text()
    made = pyotp.parse_uri(unescape(re.search(r'href="(otpauth:[^"]+)"', page)[1]))
    await owner.submit("/_gate/account/factors/totp/confirm", {"code": made.at(int(gate.clock.now()))})
    gate.clock.advance(31)
    return owner


async def _carried(answer):
    """The hidden fields of the code page."""
    page = await answer.text()
    assert "value" not in input_named(page, "code")
    return {name: input_named(page, name)["value"] for name in ("challenge", "purpose")}


async def _asked(browser, **fields):
    return await _carried(await browser.submit(OTP, {"email": EMAIL, **fields}))


async def test_a_code_from_the_mail_signs_in_and_leads_on(gate, browser, ada):
    answer = await browser.submit(OTP, {"email": " Ada@Example.com ", "next": "/x?y=1"})
    assert (answer.status, answer.content_type) == (200, "text/html")
    page = await answer.text()
    assert input_named(page, "next")["value"] == "/x?y=1"
    assert input_named(page, "code")["autocomplete"] == "one-time-code"
    shown = gate.console.code(EMAIL, "login")
    code = f" {shown[:3]} {shown[3:]} "
    answer = await browser.submit(OTP, {**await _carried(answer), "code": code, "next": "/x?y=1"})
    assert (answer.status, answer.headers["Location"]) == (303, "/x?y=1")
    assert (await browser.get("/x")).status == 200
    assert "gate-known" in browser.cookies


async def test_an_unknown_email_gets_the_same_page(browser, ada):
    """security 15"""
    pages = {}
    for email in (EMAIL, "eve@example.com"):
        answer = await browser.submit(OTP, {"email": email})
        challenge = (await _carried(answer))["challenge"]
        pages[email] = (answer.status, (await answer.text()).replace(challenge, "-").replace(email, "-"))
    assert pages[EMAIL] == pages["eve@example.com"]


async def test_the_challenge_is_in_no_address_and_the_page_has_no_inline_script(browser, ada):
    page = await (await browser.submit(OTP, {"email": EMAIL})).text()
    challenge = input_named(page, "challenge")["value"]
    assert challenge not in "".join(re.findall(r'(?:href|action|src)="([^"]*)"', page))
    assert not re.search(r"<script(?! type=\"module\" src=\"/_gate/static/)|<style|\sstyle=|\son[a-z]+=", page)


async def test_a_wrong_code_is_said_at_the_field_and_five_are_too_many(browser, ada):
    """security 19"""
    carried = await _asked(browser)
    for _ in range(4):
        answer = await browser.submit(OTP, {**carried, "code": "000000"})
        page = await answer.text()
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "otp-invalid")
        field = input_named(page, "code")
        assert (field["aria-invalid"], field["aria-describedby"]) == ("true", "code-fault")
        assert await _carried(answer) == carried
    answer = await browser.submit(OTP, {**carried, "code": "000000"})
    assert "Too many wrong codes" in await text_of(answer)
    assert 'href="/_gate/otp"' in await answer.text()


async def test_sending_again_tells_how_long_to_wait_and_then_sends_another(gate, browser, ada):
    """Without JavaScript the button can always be pressed."""
    carried = await _asked(browser, next="/x")
    first = gate.console.code(EMAIL, "login")
    gate.clock.advance(12)
    soon = await browser.submit(OTP, {**carried, "again": "1", "next": "/x"})
    assert "You can have another in 18 seconds." in await text_of(soon)
    assert 'data-wait="18"' in await soon.text()
    assert gate.console.code(EMAIL, "login") == first
    gate.clock.advance(18)
    again = await browser.submit(OTP, {**carried, "again": "1", "next": "/x"})
    assert "A new code is on its way." in await text_of(again)
    assert await _carried(again) == carried
    fields = {**carried, "code": gate.console.code(EMAIL, "login"), "next": "/x"}
    assert (await browser.submit(OTP, fields)).headers["Location"] == "/x"


async def test_a_late_code_says_so_and_how_to_get_another(gate, browser, ada):
    carried = await _asked(browser, next="/x")
    gate.clock.advance(301)
    for act in ({"code": gate.console.code(EMAIL, "login")}, {"again": "1"}):
        answer = await browser.submit(OTP, {**carried, "next": "/x", **act})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "otp-expired")
        assert 'href="/_gate/otp?next=%2Fx"' in await answer.text()
    assert browser.cookies == {}


class TestFaults(OneGate):
    """What is no request for a code changes nothing."""

    @pytest.mark.parametrize("challenge", ["", "x", "a" * 24 + "." + "b" * 24, "<script>"])
    async def test_a_made_up_challenge_leads_nowhere(self, browser, challenge):
        answer = await browser.submit(OTP, {"challenge": challenge, "code": "000000", "purpose": "<script>"})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "otp-expired")
        assert "<script>" not in await answer.text()

    @pytest.mark.parametrize("email", ["", " ", "a" * 400 + "@example.com"])
    async def test_an_email_that_is_none_is_said_at_the_field(self, browser, email):
        answer = await browser.submit(OTP, {"email": email})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (422, "validation")
        assert input_named(await answer.text(), "email")["aria-describedby"] == "email-fault"


async def test_forms_of_other_sites_are_refused(browser, ada):
    """security 8"""
    carried = await _asked(browser)
    for fields in ({"email": EMAIL}, {**carried, "code": "1"}, {**carried, "again": "1"}):
        assert (await browser.submit(OTP, fields, CROSS)).status == 403


async def test_whoever_is_signed_in_is_led_on(browser, ada):
    await browser.sign_in(EMAIL, PASSWORD)
    answer = await browser.get(f"{OTP}?next=%2Fx")
    assert (answer.status, answer.headers["Location"]) == (303, "/x")


async def test_too_many_codes_are_refused_with_the_time_to_wait(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, otp={"limit": "1/hour", "resend_after": "1s"}) as gate:
        browser = Browser(gate)
        carried = await _asked(browser)
        gate.clock.advance(2)
        for fields in ({"email": EMAIL}, {**carried, "again": "1"}):
            answer = await browser.submit(OTP, fields)
            assert (answer.status, answer.headers["X-Gate-Reason"]) == (429, "rate-limited")
            assert "Too many attempts. Try again in" in await text_of(answer)


async def test_a_code_is_the_second_step_of_a_login_too(gate, app):
    browser = Browser(gate)
    answer = await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD, "next": "/x"})
    page = await answer.text()
    step = {"challenge": input_named(page, "challenge")["value"], "method": "otp", "next": "/x"}
    answer = await browser.submit("/_gate/second-factor", {**step, "send": "first"})
    assert input_named(await answer.text(), "code")["id"] == "mailed-code"
    soon = await browser.submit("/_gate/second-factor", {**step, "send": "again"})
    assert "You can have another in 30 seconds." in await text_of(soon)
    wrong = await browser.submit("/_gate/second-factor", {**step, "code": "000000"})
    assert (wrong.status, wrong.headers["X-Gate-Reason"]) == (401, "mfa-invalid")
    assert input_named(await wrong.text(), "code")["aria-describedby"] == "mailed-code-fault"
    answer = await browser.submit("/_gate/second-factor", {**step, "code": gate.console.code(EMAIL, "mfa")})
    assert (answer.status, answer.headers["Location"]) == (303, "/x")
    assert await gate.rows("SELECT factor FROM login_logs ORDER BY time DESC, result DESC LIMIT 1")


async def test_a_login_by_code_asks_for_the_second_factor_and_not_for_another_code(gate, app):
    browser = Browser(gate)
    carried = await _asked(browser, next="/x")
    answer = await browser.submit(OTP, {**carried, "code": gate.console.code(EMAIL, "login"), "next": "/x"})
    page = await answer.text()
    assert (answer.status, browser.cookies) == (200, {})
    assert '<input type="hidden" name="next" value="/x">' in page
    assert "Code from your app" in page
    assert "Send me a code" not in page


async def test_a_code_raises_a_session_where_no_factor_was_added(gate, browser, ada):
    """The page had no form where a mailed code was the only way."""
    await browser.sign_in(EMAIL, PASSWORD)
    page = await (await browser.get("/_gate/step-up?next=%2Fx&acr_values=2fa")).text()
    assert "Send me a code by e-mail" in page
    step = {"method": "otp", "next": "/x", "acr_values": "2fa", "interrupted": ""}
    answer = await browser.submit("/_gate/step-up", {**step, "send": "first"})
    step["challenge"] = input_named(await answer.text(), "challenge")["value"]
    wrong = await browser.submit("/_gate/step-up", {**step, "code": "000000"})
    page = await wrong.text()
    assert (wrong.status, input_named(page, "challenge")["value"]) == (401, step["challenge"])
    assert input_named(page, "code")["aria-invalid"] == "true"
    answer = await browser.submit("/_gate/step-up", {**step, "code": gate.console.code(EMAIL, "step-up")})
    assert (answer.status, answer.headers["Location"]) == (303, "/x")
    me = await (await gate.call("GET", "/_gate/auth/session", headers=_cookies(browser))).json()
    assert "mfa" in me["amr"]


async def test_no_code_is_sent_to_whoever_must_add_a_factor_first(gate):
    """A mailed code is no way around the factor that a role asks for."""
    browser = Browser(gate)
    await browser.submit(f"/_gate/setup/{gate.setup_token}", {"email": "root@example.com", "password": PASSWORD})
    before = len(gate.console.lines)
    assert (await browser.submit("/_gate/step-up", {"method": "otp", "send": "first"})).status == 422
    assert len(gate.console.lines) == before


def _cookies(browser):
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
