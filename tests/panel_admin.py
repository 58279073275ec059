"""Somebody with two factors before the panel, who proves who they are whenever the gate asks. Used in tests/e2e."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from chromium import Person
from gates import RunningGate
from passkeys import platform_authenticator
from person import press, sign_in
from playwright.async_api import Browser, Page, Response
from second_factors import code, enrol_totp

ADMIN: Final = "root@example.com"
LOGIN, SECOND, STEP_UP, CONFIRMED = "login", "second-factor", "step-up", "confirmed"
_STEP: Final = 30  # seconds, after which the app has another code
_APP: Final = "form:has(input[name=method][value=totp])"
_PASSKEY: Final = "form[data-passkey]"


async def _nothing(_kind: str) -> None:
    pass


class Admin:
    """An account with an app and, after ``adds_a_passkey``, a passkey; takes one, then the other, where there are both.

    ``see`` is called with the kind of each page that asks for a proof; ``proved`` are those that were answered.
    """

    def __init__(self, gate: RunningGate, person: Person, page: Page, secret: str, email: str) -> None:
        self.gate, self.person, self.page, self.email = gate, person, page, email
        self.see: Callable[[str], Awaitable[None]] = _nothing
        self.proved: list[str] = []
        self._secret = secret
        self._ways = [self._app]
        self._devtools: Any = None

    @classmethod
    async def sits_down(
        cls, gate: RunningGate, browser: Browser, *, role: str = "admin", email: str = ADMIN, **settings: Any
    ) -> Self:
        """A new account with an app, and its owner before a browser that nobody has used."""
        made = await gate.register(email)
        await gate.give_roles(made["id"], role)
        enrolled = await enrol_totp(gate, await gate.login(email))
        person = await Person.sits_down(browser, gate.url, **settings)
        return cls(gate, person, await person.page(), enrolled.secret, email)

    async def adds_a_passkey(self) -> None:
        """By the account page, into an authenticator of this browser."""
        self._devtools, _ = await platform_authenticator(self.page)
        await self.goes("/_gate/account/factors")
        await self.page.fill("#passkey-name", "Laptop")
        await press(self.page, "#passkeys form[data-passkey] button")
        self._ways.insert(0, self._passkey)

    async def goes(self, address: str) -> Response | None:
        """To a page, through whatever stands before it."""
        answer = await self.page.goto(address)
        if await self.asked() is None:
            return answer
        await self.proves()
        return await self.page.goto(address)

    async def asked(self) -> str | None:
        """Which proof the page that is shown asks for; ``confirmed`` leads back to the form that was not sent."""
        place = self.page.url.partition("/_gate/")[2].partition("?")[0]
        if place not in {LOGIN, SECOND, STEP_UP}:
            return None
        if await self.page.locator("form[action$='/second-factor']").count():  # under the login's address too
            return SECOND
        return place if await self.page.locator("main form").count() else CONFIRMED

    async def proves(self) -> None:
        """Until another page is shown, which takes a password, a factor and the way back to a form at most."""
        for _ in range(4):
            if (asked := await self.asked()) is None:
                return
            await self.see(asked)
            self.proved.append(asked)
            if asked == LOGIN:
                await sign_in(self.page, email=self.email)
            elif asked == CONFIRMED:
                await press(self.page, "main a.button")
            else:
                self._ways.append(way := self._ways.pop(0))
                await way()
        assert await self.asked() is None, await self.page.inner_text("main")

    def code(self) -> str:
        """What the app shows now, for the first time."""
        self.gate.clock.advance(_STEP)
        return code(self._secret, self.gate)

    async def _app(self) -> None:
        await self.types_code(self.code())

    async def _passkey(self) -> None:
        await press(self.page, f"{_PASSKEY} button")

    async def types_code(self, shown: str) -> None:
        """What the app shows, or somebody guesses."""
        fold = self.page.locator(f"details:not([open]):has({_APP}) > summary")
        if await fold.count():
            await fold.click()
        await self.page.fill(f"{_APP} [name=code]", shown)
        await press(self.page, f"{_APP} button")
