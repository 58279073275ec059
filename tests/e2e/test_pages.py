"""The gate's own pages in a real browser, over a whole gate (issue 4)."""

import pytest
from chromium import picture
from factories import PASSWORD

pytestmark = pytest.mark.chromium
EMAIL = "ada@example.com"


async def sign_in(page, password=PASSWORD, path="/_gate/account"):
    await page.goto(f"/_gate/login?next={path}")
    await page.fill("#email", EMAIL)
    await page.fill("#password", password)
    await page.click("button[type=submit]")


async def test_pages_look(ada):
    page = await ada.page()
    await page.goto("/_gate/login")
    await picture(page, "login")
    await sign_in(page, "wrong password 1")
    await picture(page, "login-wrong")
    await sign_in(page)
    await page.wait_for_url("**/_gate/account")
    await picture(page, "account")
    await page.goto("/_gate/setup/none")
    await picture(page, "problem")
    await page.goto("/_gate/logout")
    await picture(page, "logout")
