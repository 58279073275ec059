"""Debian's Chromium, driven by Playwright: one browser a test, one profile a person. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from axe import AXE, serious_faults
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

ARTIFACTS = Path(__file__).parent / "artifacts"
PATIENCE = 60_000.0  # milliseconds; under any load
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def program() -> str:
    """Where the browser is."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "chromium is not installed"
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser that has just been started; its profiles are new."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program(), args=_ARGUMENTS, timeout=PATIENCE, env={**os.environ, "LANGUAGE": ""}
        )
        try:
            yield browser
        finally:
            await browser.close()


class Person:
    """Somebody with a browser profile of their own; what went wrong in it is in ``complaints``."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.complaints: list[str] = []

    @classmethod
    async def sits_down(cls, browser: Browser, url: str, **settings: Any) -> Person:
        """A new profile."""
        context = await browser.new_context(
            base_url=url, **{"locale": "en-GB", "viewport": WIDE, "reduced_motion": "reduce", **settings}
        )
        context.set_default_timeout(PATIENCE)
        person = cls(context, url)
        # A refused form or a missing icon is a message of the network; what scripts and policies say is a fault.
        context.on("console", lambda said: person._hear(said.type, said.text))
        context.on("weberror", lambda error: person._hear("error", str(error.error)))
        return person

    async def page(self) -> Page:
        """A new tab."""
        return await self.context.new_page()

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.complaints.append(text)


async def look(page: Page, name: str) -> None:
    """``glance`` at 360 and 1280 px, light and dark."""
    before = page.viewport_size or WIDE
    for size in (NARROW, WIDE):
        await page.set_viewport_size(size)  # type: ignore[arg-type]  # a plain dictionary of the two
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await glance(page, f"{name}-{size['width']}-{scheme}")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(before)


async def glance(page: Page, name: str) -> None:
    """A screenshot into ``tests/artifacts``; nothing is cut off, and axe-core, where it is installed, is content."""
    ARTIFACTS.mkdir(exist_ok=True)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
    if AXE.is_file():
        faults = await serious_faults(page)
        assert not faults, f"{name}: {faults}"
    await page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
