"""Chromium's virtual authenticator. Used by the tests in a browser."""

from __future__ import annotations

from typing import Any

from playwright.async_api import CDPSession, Page

_PLATFORM = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def platform_authenticator(page: Page) -> tuple[CDPSession, dict[str, Any]]:
    """One that says yes to everything: the session of the developer tools that holds it, and its id there."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    return devtools, await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _PLATFORM})
