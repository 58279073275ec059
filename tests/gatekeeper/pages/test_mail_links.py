"""Forgotten passwords, confirmed and changed e-mails, in a browser without JavaScript (security 8, 15, 21)."""

import pytest
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate, running_gate

EMAIL = "ada@example.com"
NEW = "another horse battery 7"
ACCOUNT = "/_gate/account"
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
BAD = ["", "?token=", "?token=x", "?token=" + "a" * 43, "?token=%3Cscript%3E"]


@pytest.fixture
async def ada(gate):
    await gate.register(EMAIL)
    browser = Browser(gate)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


async def _reset_link(gate):
    answer = await Browser(gate).submit("/_gate/forgot", {"email": EMAIL})
    assert answer.status == 200
    return gate.console.token(EMAIL, "password-reset")


async def test_a_forgotten_password_is_replaced_once_and_every_session_ends(gate, ada):
    token = await _reset_link(gate)
    browser = Browser(gate)
    for _ in range(2):
        answer = await browser.get(f"/_gate/reset?token={token}")
        assert (answer.status, input_named(await answer.text(), "token")["value"]) == (200, token)
    assert (await ada.get("/x")).status == 200, "security 8: looking changes nothing"
    answer = await browser.submit("/_gate/reset", {"token": token, "password": NEW})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?done=reset")
    assert "Your new password is set." in await text_of(await browser.get("/_gate/login?done=reset"))
    assert (await ada.get("/x")).status == 302
    assert (await browser.sign_in(EMAIL, PASSWORD)).status == 401
    assert (await browser.sign_in(EMAIL, NEW)).status == 303
    again = await browser.submit("/_gate/reset", {"token": token, "password": PASSWORD})
    assert (again.status, again.headers["X-Gate-Reason"]) == (400, "token-invalid")


async def test_a_password_that_may_not_be_one_does_not_spend_the_link(gate, ada):
    token = await _reset_link(gate)
    browser = Browser(gate)
    answer = await browser.submit("/_gate/reset", {"token": token, "password": "short"})
    page = await answer.text()
    assert answer.status == 422
    assert input_named(page, "password")["aria-describedby"] == "password-fault password-hint"
    assert "at least 12 characters." in await text_of(answer)
    assert (await browser.submit("/_gate/reset", {"token": token, "password": NEW})).status == 303


class TestBadLinks(OneGate):
    """A link that is not good changes nothing."""

    @pytest.mark.parametrize("path", ["/_gate/reset", "/_gate/confirm-email"])
    @pytest.mark.parametrize("query", BAD)
    async def test_without_a_good_token_there_is_a_page_that_says_so(self, gate, path, query):
        answer = await Browser(gate).get(path + query)
        assert (answer.status, answer.content_type, answer.headers["X-Gate-Reason"]) == (
            400,
            "text/html",
            "token-invalid",
        )
        assert "<script>" not in await answer.text()
        assert "not good any more" in await text_of(answer)
        answer = await Browser(gate).submit(path, {"token": "x", "password": NEW})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (400, "token-invalid")


async def test_a_reset_link_is_no_confirmation_and_the_other_way_round(gate, ada):
    token = await _reset_link(gate)
    assert (await Browser(gate).get(f"/_gate/confirm-email?token={token}")).status == 400
    await ada.submit(f"{ACCOUNT}/email", {"email": "grace@example.com"})
    token = gate.console.token("grace@example.com", "change-email")
    assert (await Browser(gate).get(f"/_gate/reset?token={token}")).status == 400


async def test_asking_for_a_link_says_the_same_to_everybody(gate, ada):
    """security 15"""
    pages = {}
    for email in (EMAIL, "eve@example.com"):
        answer = await Browser(gate).submit("/_gate/forgot", {"email": email, "next": "/x"})
        pages[email] = (answer.status, (await answer.text()).replace(email, "-"))
    assert pages[EMAIL] == pages["eve@example.com"]
    assert 'href="/_gate/login?next=%2Fx"' in pages[EMAIL][1]


async def test_links_lead_to_the_public_url_whatever_host_was_named(postgres_dsn, redis_url, tmp_path):
    """security 21"""
    async with running_gate(postgres_dsn, redis_url, tmp_path, hosts=["app.example"]) as gate:
        await gate.register(EMAIL)
        origin = {"Host": "app.example", "Origin": "http://app.example", "X-Forwarded-Host": "evil.example"}
        assert (await Browser(gate).submit("/_gate/forgot", {"email": EMAIL}, origin)).status == 200
        assert f"{gate.url}/_gate/reset?token=" in gate.console.lines[-1]


@pytest.mark.parametrize("path", ["/_gate/forgot", "/_gate/reset", "/_gate/confirm-email", f"{ACCOUNT}/email"])
async def test_no_other_site_acts(gate, ada, path):
    """security 8"""
    token = await _reset_link(gate)
    before = len(gate.console.lines)
    answer = await ada.submit(path, {"email": "eve@example.com", "token": token, "password": NEW}, CROSS)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert len(gate.console.lines) == before
    assert (await ada.get("/x")).status == 200


async def test_an_email_is_changed_by_the_code_and_both_addresses_are_told(gate, ada):
    answer = await ada.submit(f"{ACCOUNT}/email", {"email": " Grace@Example.com"})
    page = await answer.text()
    assert (answer.status, input_named(page, "purpose")["value"]) == (200, "change-email")
    assert f"Notice for {EMAIL}: email-changing" in gate.console.lines
    fields = {name: input_named(page, name)["value"] for name in ("challenge", "purpose")}
    code = gate.console.code("grace@example.com", "change-email")
    wrong = await ada.submit("/_gate/otp", {**fields, "code": "000000"})
    assert (wrong.status, wrong.headers["X-Gate-Reason"]) == (401, "otp-invalid")
    answer = await ada.submit("/_gate/otp", {**fields, "code": code})
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=email")
    assert "grace@example.com confirmed" in await text_of(await ada.get(f"{ACCOUNT}?done=email"))
    for address in (EMAIL, "grace@example.com"):
        assert f"Notice for {address}: email-changed" in gate.console.lines


async def test_an_email_is_changed_by_the_link_too_wherever_it_is_opened(gate, ada):
    await ada.submit(f"{ACCOUNT}/email", {"email": "grace@example.com"})
    link = f"/_gate/confirm-email?token={gate.console.token('grace@example.com', 'change-email')}"
    elsewhere = Browser(gate)
    page = await elsewhere.get(link)
    assert "grace@example.com" in await text_of(page)
    assert EMAIL in await text_of(await ada.get(ACCOUNT)), "security 8: looking changes nothing"
    answer = await elsewhere.submit("/_gate/confirm-email", {"token": input_named(await page.text(), "token")["value"]})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?done=email")
    assert "grace@example.com confirmed" in await text_of(await ada.get(ACCOUNT))
    assert (await elsewhere.get(link)).status == 400


async def test_a_taken_email_gets_the_same_page_and_its_owner_is_told(gate, ada):
    """security 15"""
    await gate.register("grace@example.com")
    pages = []
    for email in ("grace@example.com", "free@example.com"):
        answer = await ada.submit(f"{ACCOUNT}/email", {"email": email})
        page = await answer.text()
        pages.append((answer.status, page.replace(input_named(page, "challenge")["value"], "-").replace(email, "-")))
    assert pages[0] == pages[1]
    assert any(line.startswith("Link for grace@example.com (email-taken)") for line in gate.console.lines)


@pytest.mark.parametrize(
    ("email", "sentence"),
    [
        ("", "Enter your e-mail."),
        ("a@b@c", "The e-mail must contain exactly one @."),
        (EMAIL, "The e-mail is your e-mail already."),
    ],
)
async def test_a_new_email_that_cannot_be_one_is_said_at_the_field(ada, email, sentence):
    answer = await ada.submit(f"{ACCOUNT}/email", {"email": email})
    assert answer.status == 422
    assert input_named(await answer.text(), "email")["aria-describedby"].startswith("email-fault")
    assert sentence in await text_of(answer)


async def test_an_old_login_is_confirmed_before_the_email_changes(gate, ada):
    gate.clock.advance(901)
    page = await (await ada.get(ACCOUNT)).text()
    fresh = "/_gate/step-up?next=%2F_gate%2Faccount%3Fchange%3Demail"
    assert f'href="{fresh}"' in page
    answer = await ada.submit(f"{ACCOUNT}/email", {"email": "grace@example.com"})
    assert (answer.status, answer.headers["Location"]) == (303, fresh)
    fields = {"method": "password", "password": PASSWORD, "next": f"{ACCOUNT}?change=email"}
    answer = await ada.submit("/_gate/step-up", fields)
    page = await (await ada.get(answer.headers["Location"])).text()
    assert "<details open>" in page
    assert (await ada.submit(f"{ACCOUNT}/email", {"email": "grace@example.com"})).status == 200


async def test_an_unconfirmed_email_is_confirmed_from_the_account_page_within_the_session(gate, ada):
    page = await (await ada.submit(f"{ACCOUNT}/email/verify", {})).text()
    fields = {name: input_named(page, name)["value"] for name in ("challenge", "purpose")}
    session = ada.cookies["gate-refresh"]
    answer = await ada.submit("/_gate/otp", {**fields, "code": gate.console.code(EMAIL, "verify-email")})
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=email")
    assert ada.cookies["gate-refresh"] == session
    assert f"{EMAIL} confirmed" in await text_of(await ada.get(ACCOUNT))
