"""Second factors and step-up as a browser without JavaScript meets them (security 8, 19, 21)."""

import re
from html import unescape

import pyotp
import pytest
import pytest_asyncio
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate

EMAIL = "ada@example.com"
HOME = "/_gate/account/factors"
ACTS = ["totp", "totp/confirm", "totp/remove", "passkeys", "passkeys/remove", "recovery-codes", "devices"]
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


async def _signed_in(gate):
    await gate.register(EMAIL)
    browser = Browser(gate)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


async def _enrolled(gate, ada):
    page = await (await ada.submit(f"{HOME}/totp", {})).text()
    made = pyotp.parse_uri(unescape(re.search(r'href="(otpauth:[^"]+)"', page)[1]))
    answer = await ada.submit(f"{HOME}/totp/confirm", {"code": made.at(int(gate.clock.now()))})
    assert len(re.findall(r"<li><code>", await answer.text())) == 10
    gate.clock.advance(31)
    return made


@pytest.fixture
async def ada(gate):
    return await _signed_in(gate)


@pytest.fixture
async def app(gate, ada):
    """An app that ada has enrolled, by the pages; its next code counts."""
    return await _enrolled(gate, ada)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def ada_of_class(gate_of_class):
    """With an app."""
    ada = await _signed_in(gate_of_class)
    await _enrolled(gate_of_class, ada)
    return ada


async def _second(gate, **fields):
    """Another browser before the second step, and the challenge there."""
    browser = Browser(gate)
    answer = await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD, **fields})
    page = await answer.text()
    assert (answer.status, "Location" in answer.headers) == (200, False)
    return browser, input_named(page, "challenge")["value"], page


class TestForeignForms(OneGate):
    """Another site acts on no factor, and an address that acts only shows."""

    @pytest.fixture
    def ada(self, ada_of_class):
        return ada_of_class

    @pytest.mark.parametrize("act", ACTS)
    async def test_looking_at_an_address_that_acts_changes_nothing(self, ada, act):
        """security 8"""
        answer = await ada.get(f"{HOME}/{act}?code=1&id=1")
        assert (answer.status, answer.headers["Location"]) == (303, HOME)
        assert "set up on" in await text_of(await ada.get(HOME))

    @pytest.mark.parametrize("act", ACTS)
    async def test_no_other_site_touches_factors(self, ada, act):
        """security 8"""
        answer = await ada.submit(f"{HOME}/{act}", {"code": "1", "id": "1"}, CROSS)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
        assert "10 codes are left" in await text_of(await ada.get(HOME))


async def test_a_right_password_alone_lets_nobody_in_who_has_an_app(gate, app):
    browser, challenge, _ = await _second(gate)
    assert browser.cookies == {}
    answer = await browser.submit("/_gate/second-factor", {"challenge": challenge, "method": "totp", "code": "000000"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "mfa-invalid")
    assert browser.cookies == {}
    code = app.at(int(gate.clock.now()))
    fields = {"challenge": challenge, "method": "totp", "code": code, "next": "/x"}
    answer = await browser.submit("/_gate/second-factor", fields)
    assert (answer.status, answer.headers["Location"]) == (303, "/x")
    assert (await browser.get("/x")).status == 200


async def test_the_challenge_is_in_no_address(gate, app):
    _, challenge, page = await _second(gate, next="/x")
    assert challenge not in "".join(re.findall(r'(?:href|action)="([^"]*)"', page))
    assert 'name="next" value="/_gate/login?next=%2Fx"' in page


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
async def test_the_second_step_and_the_step_up_lead_nowhere_else(gate, ada, app, target):
    """security 21"""
    browser, challenge, page = await _second(gate, next=target)
    assert "evil" not in page
    code = app.at(int(gate.clock.now()))
    fields = {"challenge": challenge, "method": "totp", "code": code, "next": target}
    assert (await browser.submit("/_gate/second-factor", fields)).headers["Location"] == "/"
    fields = {"method": "password", "password": PASSWORD, "next": target}
    assert (await ada.submit("/_gate/step-up", fields)).headers["Location"] == "/"


@pytest.mark.parametrize("fields", [{}, {"method": "smoke"}, {"method": "passkey", "response": "[1]"}])
async def test_a_form_that_says_nothing_is_asked_again(gate, app, fields):
    browser, challenge, _ = await _second(gate)
    answer = await browser.submit("/_gate/second-factor", {"challenge": challenge, **fields})
    assert (answer.status, answer.content_type) == (422, "text/html")
    assert browser.cookies == {}


async def test_a_made_up_challenge_leads_nowhere(gate, ada):
    answer = await Browser(gate).submit("/_gate/second-factor", {"challenge": "x", "method": "totp", "code": "1"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "mfa-invalid")


async def test_the_second_step_takes_forms_of_this_origin_only(gate, app):
    """security 8: nobody is signed in by another site"""
    browser, challenge, _ = await _second(gate)
    fields = {"challenge": challenge, "method": "totp", "code": app.at(int(gate.clock.now()))}
    assert (await browser.submit("/_gate/second-factor", fields, CROSS)).status == 403
    assert (await browser.submit("/_gate/passkey", {"challenge": "x", "response": "{}"}, CROSS)).status == 403


async def test_a_step_up_without_a_session_begins_with_a_login(gate):
    answer = await Browser(gate).get("/_gate/step-up?next=%2Fx")
    assert answer.headers["Location"] == "/_gate/login?next=%2F_gate%2Fstep-up%3Fnext%3D%252Fx"
    answer = await Browser(gate).submit("/_gate/step-up", {"method": "password", "password": PASSWORD, "next": "/x"})
    assert answer.headers["Location"] == "/_gate/login?next=%2F_gate%2Fstep-up%3Fnext%3D%252Fx"


async def test_what_was_interrupted_is_shown_as_text(ada):
    """security 22"""
    page = await (await ada.get("/_gate/step-up?interrupted=POST%20%3Cscript%3Ealert(1)%3C/script%3E")).text()
    assert "<script>" not in page
    assert "POST &lt;script&gt;" in page


async def test_where_two_factors_are_asked_for_a_password_is_not_offered(ada, app):
    page = await (await ada.get("/_gate/step-up?acr_values=2fa")).text()
    assert "Code from your app" in page
    assert 'name="password"' not in page


async def test_an_app_is_removed_by_its_owner(ada, app):
    answer = await ada.submit(f"{HOME}/totp/remove", {})
    assert (answer.status, answer.headers["Location"]) == (303, f"{HOME}?done=app-removed")
    assert (await Browser(ada.gate).sign_in(EMAIL, PASSWORD)).status == 303


async def test_an_admin_who_takes_their_time_confirms_the_password_and_adds_a_factor(gate):
    """security 22: no way leads round in a circle"""
    browser = Browser(gate)
    await browser.submit(f"/_gate/setup/{gate.setup_token}", {"email": "root@example.com", "password": PASSWORD})
    gate.clock.advance(301)
    answer = await browser.submit(f"{HOME}/totp", {})
    step_up = answer.headers["Location"]
    page = await browser.get(step_up)
    assert (page.status, input_named(await page.text(), "password")["type"]) == (200, "password")
    fields = {"method": "password", "password": PASSWORD, "next": HOME}
    answer = await browser.submit("/_gate/step-up", fields)
    assert (answer.status, answer.headers["Location"]) == (303, HOME)
    answer = await browser.submit(f"{HOME}/totp", {})
    assert "otpauth:" in await answer.text()
    panel = await browser.get("/_gate/step-up?next=%2F_gate%2Fadmin%2F&acr_values=2fa")
    assert panel.headers["Location"].startswith(HOME)


async def test_the_owner_can_tell_a_login_that_stopped_halfway_from_a_wrong_password(gate, ada, app):
    """A right password that no second step followed says that somebody knows it."""
    browser, challenge, _ = await _second(gate)
    await browser.submit("/_gate/second-factor", {"challenge": challenge, "method": "totp", "code": "000000"})
    await Browser(gate).sign_in(EMAIL, "a wrong password")
    answer = await ada.get("/_gate/account")
    seen = (await text_of(answer)).partition("Recent activity")[2]
    for told in ("First step passed, second step asked for", "Failed at the second step", "Failed to sign in"):
        assert told in seen
    marks = re.findall(r'<span class="dot ([a-z]*)"', await answer.text())
    assert sorted(marks) == ["", "danger", "danger", "good"]
