"""What a person does on the gate's pages, step by step. Used by the tests in Chromium."""

from __future__ import annotations

from factories import PASSWORD
from playwright.async_api import Page

EMAIL = "ada@example.com"


async def sign_in(page: Page, *, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Fill in the login form that is shown, or go to it."""
    if "/_gate/login" not in page.url:
        await page.goto("/_gate/login")
    await page.fill("#email", email)
    await page.fill("#password", password)
    await press(page, "main button[type=submit]")


async def press(page: Page, button: str) -> None:
    """Press what sends a form, and wait for the page that follows."""
    async with page.expect_navigation():
        await page.click(button)
