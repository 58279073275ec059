"""Does everything that can be done in the panel, as its pages offer it. Used by the walk in tests/e2e."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from panel_crawl import HOME, kind_of
from person import sign_in
from playwright.async_api import Locator, Page, Response

#: What is filled in where a form asks for it, by the field's name. A field that must be filled in and stands neither
#: here nor on the page with a value is a new one: say here what to write.
FILLED: Final = {
    "why": "because of the walk",
    "subject": "192.0.2.77",
    "length": "1h",
    "email": "newcomer@example.com",
    "name": "Newcomer",
    "roles": "staff",
    "text": "rules:\n  - {name: api, path: /**, allow: authenticated}\n",
}
#: Where a name means something else.
ELSEWHERE: Final = {
    "bans/import": {"text": "192.0.2.80\n198.51.100.0/24  # scans\n"},
    "users/{}/change-email": {"email": "moved@example.com"},
}
#: Every form that changes something and is not about the walker's own session.
_FORMS: Final = """() => [...document.querySelectorAll("main form[method=post]")].map((form, index) => {
  const row = form.closest("tr");
  return { index, action: form.getAttribute("action"), own: row !== null && row.innerText.includes("this browser") };
})"""
_SURE: Final = "input[name=sure]"
_EMPTY: Final = """form => [...form.elements]
  .filter((field) => field.required || field.name === "length" || field.type === "textarea")
  .filter((field) => field.type !== "hidden" && field.value === "").map((field) => field.name)"""


class Doer:
    """Remembers in ``done`` which acts were done (by the kind of the form's address), and what was said then."""

    def __init__(self, page: Page, email: str) -> None:
        self._page = page
        self._email = email
        self.done: dict[str, str] = {}

    async def everything(self, addresses: Iterable[str]) -> None:
        """What these pages offer, each act once."""
        for address in addresses:
            while await self._one(address):
                pass

    async def _one(self, address: str) -> bool:
        if self._page.url.partition(HOME)[2] != address.partition(HOME)[2]:  # an act mostly leads back to its page
            await self._go(address)
        forms: list[dict[str, Any]] = await self._page.evaluate(_FORMS)
        for form in forms:
            kind = kind_of(form["action"])
            if kind not in self.done and not form["own"]:
                self.done[kind] = await self._send(self._page.locator("main form[method=post]").nth(form["index"]))
                return True
        return False

    async def _go(self, address: str) -> None:
        await self._page.goto(address)
        if "/_gate/login" in self._page.url:  # an act has ended the walker's session
            await sign_in(self._page, email=self._email)
            await self._page.goto(address)

    async def _send(self, form: Locator) -> str:
        action = await form.get_attribute("action") or ""
        fold = form.locator("xpath=ancestor::details[not(@open)]")
        if await fold.count():
            await fold.first.locator("summary").first.click()
        for name in await form.evaluate(_EMPTY):
            filled = FILLED | ELSEWHERE.get(kind_of(action), {})
            assert name in filled, f"{action}: what stands in {name}?"
            await form.locator(f"[name={name}]").fill(filled[name])
        answer = await self._press(form)
        if await self._page.locator(_SURE).count():  # it would harm whoever asks for it
            await self._page.check(_SURE)
            answer = await self._press(self._page.locator(f"form:has({_SURE})"))
        assert answer.status == 200, f"{action} answers {answer.status}: {await self._page.inner_text('main')}"
        said = self._page.locator("main [role=status]")
        assert await said.count(), f"{action} is done, and nothing says so: {await self._page.inner_text('main')}"
        assert self._page.url.split("?")[0].partition(HOME)[1], f"{action} leads out of the panel"
        return await said.first.inner_text()

    async def _press(self, form: Locator) -> Response:
        async with self._page.expect_navigation() as going:
            await form.locator("button:not([type=button])").first.click()
        answer = await going.value
        assert answer is not None
        return answer
