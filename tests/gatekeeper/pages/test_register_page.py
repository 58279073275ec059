"""Making an account as a browser without JavaScript meets it (security 8, 15, 17)."""

import re

import pytest
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate, running_gate

from gatekeeper.app.mail import notifier_of
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.registration import Invitations
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres

EMAIL = "ada@example.com"
REGISTER = "/_gate/register"


@pytest.fixture
def browser(gate):
    return Browser(gate)


@pytest.fixture
async def verifying(postgres_dsn, redis_url, tmp_path):
    """A gate where e-mails are verified first."""
    registration = {"mode": "open", "verify_email": True}
    async with running_gate(postgres_dsn, redis_url, tmp_path, registration=registration) as gate:
        yield gate


@pytest.fixture
async def inviting(postgres_dsn, redis_url, tmp_path):
    """A gate where accounts are made by invitation."""
    async with running_gate(postgres_dsn, redis_url, tmp_path, registration={"mode": "invite"}) as gate:
        yield gate


async def _invite(gate, email=EMAIL, roles=("staff",)):
    postgres = Postgres(gate.dsn, size=1, timeout=30.0)
    try:
        notifier = notifier_of(gate.config, postgres, "0" * 64, gate.console)
        addresses = Addresses(gate.config.public_url, gate.config.prefix)
        invitations = Invitations(PostgresLinks(postgres), notifier, addresses)
        link = await invitations.make(email, roles, 86_400.0, "root", gate.clock.now())
        return link.removeprefix(gate.config.public_url)
    finally:
        await postgres.close()


async def test_an_account_is_made_and_signed_in(gate, browser):
    form = await (await browser.get(f"{REGISTER}?next=%2Fx")).text()
    assert input_named(form, "password")["autocomplete"] == "new-password"
    assert input_named(form, "next")["value"] == "/x"
    answer = await browser.submit(
        REGISTER, {"email": "Ada@Example.com", "password": PASSWORD, "name": " Ada ", "next": "/x"}
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/x")
    assert (await browser.get("/x")).status == 200
    assert await gate.rows("SELECT email, name FROM users") == [{"email": EMAIL, "name": "Ada"}]
    assert [row["action"] for row in await gate.rows("SELECT action FROM audit_log")] == ["user.register"]


class TestFaults(OneGate):
    """A form with faults makes no account."""

    @pytest.mark.parametrize(
        ("fields", "field", "sentence"),
        [
            ({"email": "", "password": PASSWORD}, "email", "Enter your e-mail."),
            ({"email": "a@b@c", "password": PASSWORD}, "email", "The e-mail must contain exactly one @."),
            ({"email": EMAIL, "password": "short"}, "password", "The password must have at least 12 characters."),
            (
                {"email": EMAIL, "password": PASSWORD, "name": "a\nb"},
                "name",
                "The name must be visible text on one line.",
            ),
        ],
    )
    async def test_what_is_wrong_is_said_at_its_field(self, gate, browser, fields, field, sentence):
        answer = await browser.submit(REGISTER, fields)
        page = await answer.text()
        assert answer.status == 422
        assert input_named(page, field)["aria-describedby"].startswith(f"{field}-fault")
        assert sentence in await text_of(answer)
        assert await gate.rows("SELECT 1 FROM users") == []

    async def test_no_other_site_makes_an_account(self, gate, browser):
        """security 8"""
        cross = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD}, cross)).status == 403
        assert await gate.rows("SELECT 1 FROM users") == []


async def test_a_taken_email_is_said_and_the_form_kept(gate, browser):
    await gate.register(EMAIL)
    answer = await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD, "name": "Eve", "next": "/x"})
    page = await answer.text()
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (409, "email-taken")
    assert input_named(page, "email")["aria-invalid"] == "true"
    assert (input_named(page, "name")["value"], input_named(page, "next")["value"]) == ("Eve", "/x")
    assert browser.cookies == {}


async def test_where_emails_are_verified_the_code_from_the_mail_signs_in(verifying):
    browser = Browser(verifying)
    answer = await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD, "next": "/_gate/account"})
    page = await answer.text()
    assert (answer.status, browser.cookies) == (200, {})
    fields = {name: input_named(page, name)["value"] for name in ("challenge", "purpose", "next")}
    answer = await browser.submit("/_gate/otp", {**fields, "code": verifying.console.code(EMAIL, "verify-email")})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/account")
    assert re.search(r"ada@example\.com confirmed", await text_of(await browser.get("/_gate/account")))


async def test_where_emails_are_verified_a_free_and_a_taken_one_get_the_same_page(verifying):
    """security 15"""
    pages = []
    for _ in range(2):
        answer = await Browser(verifying).submit(REGISTER, {"email": EMAIL, "password": PASSWORD})
        page = await answer.text()
        pages.append((answer.status, page.replace(input_named(page, "challenge")["value"], "-")))
        verifying.clock.advance(31)
        if len(pages) == 1:
            token = verifying.console.token(EMAIL, "verify-email")
            await Browser(verifying).submit("/_gate/confirm-email", {"token": token})
    assert pages[0] == pages[1]
    assert any("email-taken" in line for line in verifying.console.lines)


async def test_a_link_asks_for_the_password_of_the_account_or_leads_to_a_new_one(verifying):
    browser = Browser(verifying)
    await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD})
    token = verifying.console.token(EMAIL, "verify-email")
    page = await (await browser.get(f"/_gate/confirm-email?token={token}")).text()
    assert input_named(page, "password")["type"] == "password"
    wrong = await browser.submit("/_gate/confirm-email", {"token": token, "password": "not that one, I think"})
    assert (wrong.status, input_named(await wrong.text(), "password")["aria-invalid"]) == (401, "true")
    answer = await browser.submit("/_gate/confirm-email", {"token": token, "password": ""})
    path, _, onward = answer.headers["Location"].partition("?token=")
    assert (answer.status, path) == (303, f"{verifying.url}/_gate/reset")
    new = "another horse battery 7"
    assert (await browser.submit("/_gate/reset", {"token": onward, "password": new})).status == 303
    assert (await browser.sign_in(EMAIL, PASSWORD)).status == 401
    assert (await browser.sign_in(EMAIL, new)).status == 303


async def test_a_login_before_the_email_is_verified_is_asked_for_the_code(verifying):
    browser = Browser(verifying)
    await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD})
    verifying.clock.advance(301)
    answer = await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD, "next": "/_gate/account"})
    page = await answer.text()
    assert (answer.status, input_named(page, "purpose")["value"]) == (200, "verify-email")
    fields = {name: input_named(page, name)["value"] for name in ("challenge", "purpose", "next")}
    answer = await browser.submit("/_gate/otp", {**fields, "code": verifying.console.code(EMAIL, "verify-email")})
    assert answer.headers["Location"] == "/_gate/account"
    assert (await Browser(verifying).sign_in(EMAIL, PASSWORD)).status == 303, "the password is still theirs"


async def test_a_late_verification_code_leads_to_the_login_which_sends_another(verifying):
    browser = Browser(verifying)
    page = await (await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD})).text()
    fields = {name: input_named(page, name)["value"] for name in ("challenge", "purpose")}
    verifying.clock.advance(301)
    answer = await browser.submit("/_gate/otp", {**fields, "code": "000000"})
    assert answer.status == 401
    assert 'href="/_gate/login"' in await answer.text()


async def test_an_invitation_makes_the_account_that_was_invited(inviting):
    browser, link = Browser(inviting), await _invite(inviting)
    page = await (await browser.get(link)).text()
    assert input_named(page, "email") | {"readonly": "", "value": EMAIL} == input_named(page, "email")
    fields = {"email": EMAIL, "password": PASSWORD, "invite": input_named(page, "invite")["value"]}
    wrong = await browser.submit(REGISTER, {**fields, "email": "eve@example.com"})
    assert wrong.status == 422
    assert "not the address that was invited" in await text_of(wrong)
    short = await browser.submit(REGISTER, {**fields, "password": "short"})
    assert (short.status, input_named(await short.text(), "invite")["value"]) == (422, fields["invite"])
    answer = await browser.submit(REGISTER, fields)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert await inviting.rows("SELECT email, roles, email_verified FROM users") == [
        {"email": EMAIL, "roles": ["staff"], "email_verified": True}
    ]
    for again in (await browser.get(link), await Browser(inviting).submit(REGISTER, fields)):
        assert (again.status, again.headers["X-Gate-Reason"]) == (403, "registration-closed")


@pytest.mark.parametrize("query", ["", "?invite=", "?invite=x", "?invite=" + "a" * 43])
async def test_without_a_good_invitation_the_page_says_so(inviting, query):
    answer = await Browser(inviting).get(REGISTER + query)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "registration-closed")
    assert "invitation" in await text_of(answer)
    login = await (await Browser(inviting).get("/_gate/login")).text()
    assert REGISTER not in login


async def test_a_closed_door_says_so_to_the_form_too(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, registration={"mode": "closed"}) as gate:
        browser = Browser(gate)
        for answer in (
            await browser.get(REGISTER),
            await browser.submit(REGISTER, {"email": EMAIL, "password": PASSWORD}),
        ):
            assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "registration-closed")
            assert "Accounts are made by an administrator here." in await text_of(answer)
        assert await gate.rows("SELECT 1 FROM users") == []
