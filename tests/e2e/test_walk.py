"""What people do with an account, one thing after another: Chromium, a whole gate, a real SMTP server (issue 4)."""

import re

import pyotp
import pytest
from chromium import NARROW, WIDE, Person, glance
from factories import PASSWORD
from gates import running_gate
from mail_server import code_in, link_in, mail_server
from passkeys import platform_authenticator
from person import press, sign_in

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(300)]
EMAIL, NEW_EMAIL, NEW_PASSWORD = "grace@example.com", "grace.hopper@example.com", "another horse battery 7"
ACCOUNT = "/_gate/account"
SIZES = [
    pytest.param(NARROW, "light", id="360-light"),
    *(
        pytest.param(size, scheme, id=f"{size['width']}-{scheme}", marks=pytest.mark.full)
        for size, scheme in ((NARROW, "dark"), (WIDE, "light"), (WIDE, "dark"))
    ),
]


@pytest.fixture
async def post():
    """A mail server."""
    async with mail_server() as server:
        yield server


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream, post):
    """A gate that verifies e-mails and sends mail; reports ask for a fresh login."""
    smtp = {"host": "127.0.0.1", "port": post.port, "tls": "none"}
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "reports", "path": "/reports/**", "allow": "authenticated", "step_up": "10m"},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "registration": {"mode": "open", "verify_email": True},
        "otp": {"deliver": ["smtp"]},
        "mail": {"from": "Gate <gate@example.org>", "smtp": smtp},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


class Grace:
    """She walks through the pages; what she sees is kept as pictures."""

    def __init__(self, person, page, gate, post, scheme):
        self.person, self.page, self.gate, self.post = person, page, gate, post
        self.suffix = f"{page.viewport_size['width']}-{scheme}"
        self.app = None

    async def see(self, name):
        await glance(self.page, f"walk-{name}-{self.suffix}")

    async def mail(self, to, saying):
        """The next mail to her that says this; others, such as a notice of what she has done, come in between."""
        while saying not in (text := await self.post.next(to)):
            pass
        return text

    async def code(self, to=EMAIL):
        return code_in(await self.mail(to, " minutes"))

    async def type_code(self, code, field="#code"):
        await self.page.fill(field, code)
        await press(self.page, f"main form:has({field}) button")

    async def type_app_code(self):
        """The next code of the app, which no login has used yet."""
        self.gate.clock.advance(31)
        await self.type_code(self.app.at(int(self.gate.clock.now())))

    async def leave(self):
        await self.page.goto("/_gate/logout")
        await press(self.page, "main button")

    async def arrived(self, path):
        assert self.page.url == self.gate.url + path


async def _registers(grace):
    page = grace.page
    await page.goto("/notes?page=2")
    await grace.see("login")
    async with page.expect_navigation():
        await page.click("text=Create an account")
    await page.fill("#email", EMAIL)
    await page.fill("#password", "password1234")
    await press(page, "main button[type=submit]")
    await grace.see("register-common-password")
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await grace.see("register-code")
    await grace.type_code("000000")
    await grace.see("register-code-wrong")
    await grace.type_code(await grace.code())
    await grace.arrived("/notes?page=2")


async def _enrols_an_app(grace):
    page = grace.page
    await grace.leave()
    await sign_in(page, email=EMAIL)
    await page.goto(f"{ACCOUNT}/factors")
    await press(page, "#totp button")
    grace.app = pyotp.parse_uri(await page.get_attribute("a[href^='otpauth:']", "href"))
    await grace.type_app_code()
    assert len(await page.locator(".codes code").all()) == 10
    await grace.mail(EMAIL, "added an authenticator app")
    await grace.leave()
    await page.goto("/_gate/login?next=/notes")
    await sign_in(page, email=EMAIL)
    await grace.see("second-factor")
    await grace.type_app_code()
    await grace.arrived("/notes")


async def _signs_in_with_a_mailed_code_as_second_factor(grace):
    page = grace.page
    await grace.leave()
    await page.goto("/_gate/login?next=/notes")
    await sign_in(page, email=EMAIL)
    await press(page, "text=Send me a code by e-mail")
    await grace.see("second-factor-mailed")
    waiting = page.locator("button[data-wait]")
    assert re.fullmatch(r"Send again in \d+ s", await waiting.inner_text())
    assert await waiting.is_disabled()
    await grace.type_code(await grace.code(), "#mailed-code")
    await grace.arrived("/notes")


async def _signs_in_by_a_code_alone(grace):
    page = grace.page
    await grace.leave()
    await page.goto("/_gate/login?next=/notes")
    async with page.expect_navigation():
        await page.click("text=Send me a code by e-mail")
    await grace.see("otp")
    await page.fill("#email", EMAIL)
    await press(page, "main button[type=submit]")
    await grace.see("otp-code")
    await grace.type_code(await grace.code())
    await grace.type_app_code()
    await grace.arrived("/notes")


async def _signs_in_by_a_passkey_alone(grace):
    page = grace.page
    await platform_authenticator(page)
    await page.goto(f"{ACCOUNT}/factors")
    await press(page, "#passkeys form[data-passkey] button")
    await page.goto(f"{ACCOUNT}/factors")
    assert "Passkey" in await page.inner_text("#passkeys .rows")
    await grace.leave()
    await page.goto("/_gate/login?next=/notes")
    await press(page, "form[data-passkey] button")
    await grace.arrived("/notes")


async def _confirms_that_it_is_her(grace):
    page = grace.page
    grace.gate.clock.advance(601)
    await page.goto("/reports/2026?quarter=3")
    await grace.see("step-up")
    await press(page, "text=Send me a code by e-mail")
    await grace.see("step-up-mailed")
    await grace.type_code(await grace.code(), "#mailed-code")
    await grace.arrived("/reports/2026?quarter=3")


async def _changes_her_email(grace):
    page = grace.page
    await page.goto(ACCOUNT)
    await page.click("#e-mail summary")
    await grace.see("account")
    await page.fill("#email", NEW_EMAIL)
    await press(page, "#e-mail details form button")
    await grace.see("new-email-code")
    await grace.mail(EMAIL, f"change its e-mail to {NEW_EMAIL}")
    await page.goto(link_in(await grace.mail(NEW_EMAIL, "/confirm-email?")))
    await grace.see("confirm-email")
    await press(page, "main button")
    await grace.see("email-changed")
    assert NEW_EMAIL in await page.inner_text("#e-mail")


async def _forgets_her_password(grace):
    page = grace.page
    await grace.leave()
    async with page.expect_navigation():
        await page.click("text=Forgot your password?")
    await grace.see("forgot")
    await page.fill("#email", NEW_EMAIL)
    await press(page, "main button[type=submit]")
    await grace.see("forgot-sent")
    link = link_in(await grace.mail(NEW_EMAIL, "/reset?"))
    await page.goto(link)
    await page.fill("#password", "short")
    await press(page, "main button[type=submit]")
    await grace.see("reset")
    await page.fill("#password", NEW_PASSWORD)
    await press(page, "main button[type=submit]")
    await grace.see("login-after-reset")
    await sign_in(page, email=NEW_EMAIL, password=NEW_PASSWORD)
    await grace.type_app_code()
    await page.goto(link)
    await grace.see("link-over")


async def _ends_another_session(grace, elsewhere):
    elsewhere.app = grace.app
    page = grace.page
    for button, told in (
        ("#sessions button[aria-label^='End the session of']", "The session has ended."),
        ("#sessions form:has([name=others]) button", "All your other sessions have ended."),
    ):
        await elsewhere.page.goto("/notes")
        await sign_in(elsewhere.page, email=NEW_EMAIL, password=NEW_PASSWORD)
        await elsewhere.type_app_code()
        await elsewhere.arrived("/notes")
        await page.goto(ACCOUNT)
        await grace.see("sessions")
        await press(page, button)
        assert told in await page.inner_text("[role=status]")
        await elsewhere.page.goto("/notes")
        await elsewhere.arrived("/_gate/login?next=%2Fnotes")
        await page.goto("/notes")
        await grace.arrived("/notes")


async def _takes_her_account_back(grace, elsewhere):
    """Her password was changed a while ago: it was not her."""
    page = grace.page
    await page.goto(
        link_in((await grace.mail(NEW_EMAIL, "The password of your account")).partition("back at once: ")[2])
    )
    await grace.see("not-me")
    await press(page, "main button")
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await elsewhere.page.goto("/notes")
    await elsewhere.arrived("/_gate/login?next=%2Fnotes")
    await sign_in(page, email=NEW_EMAIL, password=PASSWORD)
    await grace.type_app_code()


@pytest.mark.parametrize(("size", "scheme"), SIZES)
async def test_from_the_registration_to_the_end_of_the_last_other_session(gate, post, browser, size, scheme):
    async def walker():
        person = await Person.sits_down(browser, gate.url, viewport=size, color_scheme=scheme)
        return Grace(person, await person.page(), gate, post, scheme)

    grace = await walker()
    for step in (
        _registers,
        _enrols_an_app,
        _signs_in_with_a_mailed_code_as_second_factor,
        _signs_in_by_a_code_alone,
        _signs_in_by_a_passkey_alone,
        _confirms_that_it_is_her,
        _changes_her_email,
        _forgets_her_password,
    ):
        await step(grace)
    elsewhere = await walker()
    await _ends_another_session(grace, elsewhere)
    await elsewhere.page.goto("/notes")
    await sign_in(elsewhere.page, email=NEW_EMAIL, password=NEW_PASSWORD)
    await elsewhere.type_app_code()
    await _takes_her_account_back(grace, elsewhere)
    assert grace.person.complaints + elsewhere.person.complaints == []
