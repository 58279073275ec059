"""Does everything that can be done in the panel, as its pages offer it. Used by the walks in tests/e2e."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from panel_admin import Admin
from panel_crawl import HOME, kind_of
from playwright.async_api import Locator, Response

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
#: What leaves nothing for other acts of its page comes after them.
LAST: Final = {"users/{}/reset-factors"}
#: Every form that changes something and is not about the walker's own session.
_FORMS: Final = """() => [...document.querySelectorAll("main form[method=post]")].map((form, index) => {
  const row = form.closest("tr");
  return { index, action: form.getAttribute("action"), own: row !== null && row.innerText.includes("this browser") };
})"""
_EMPTY: Final = """form => [...form.elements]
  .filter((field) => field.required || field.name === "length" || field.type === "textarea")
  .filter((field) => !["hidden", "checkbox"].includes(field.type) && field.value === "").map((field) => field.name)"""
_FOLD: Final = "xpath=ancestor::details[not(@open)][1]/summary"
_SURE: Final = "input[name=sure]"
_BUTTON: Final = "button:not([type=button])"


async def nothing(_kind: str) -> None:
    """What is done on a page where there is nothing to see."""


class Mouse:
    """Clicks."""

    def __init__(self, admin: Admin) -> None:
        self._page = admin.page

    async def unfold(self, summary: Locator) -> None:
        await summary.click()

    async def fill(self, field: Locator, text: str) -> None:
        await field.fill(text)

    async def tick(self, box: Locator) -> None:
        await box.check()

    async def press(self, button: Locator) -> Response:
        """And waits for the page that follows."""
        async with self._page.expect_navigation() as going:
            await button.click()
        answer = await going.value
        assert answer is not None
        return answer


class Doer:
    """Remembers in ``done`` which acts were done (by the kind of the form's address), and what was said then.

    ``see`` is called with the kind of each page that an act leads to. ``stale`` seconds pass before each act: a proof
    that is older than the gate takes has to be given anew, and the form to be filled in again.
    """

    def __init__(
        self,
        admin: Admin,
        hands: Mouse | None = None,
        *,
        see: Callable[[str], Awaitable[None]] = nothing,
        stale: float = 0.0,
    ) -> None:
        self._admin = admin
        self._page = admin.page
        self._hands = hands or Mouse(admin)
        self._see = see
        self._stale = stale
        self.done: dict[str, str] = {}

    async def everything(self, addresses: Mapping[str, set[str]], left: Callable[[], set[str]]) -> None:
        """What these pages offer, each act once; then, until nothing is ``left``, what they offer by now."""
        for address, offered in addresses.items():
            if not offered <= self.done.keys():
                await self._all(address)
        for address in addresses:
            if not left():
                break
            await self._all(address)

    async def _all(self, address: str) -> None:
        while await self._one(address):
            pass

    async def _one(self, address: str) -> bool:
        if self._page.url.partition(HOME)[2] != address.partition(HOME)[2]:  # an act mostly leads back to its page
            await self._admin.goes(address)
        forms: list[dict[str, Any]] = await self._page.evaluate(_FORMS)
        for form in sorted(forms, key=lambda form: kind_of(form["action"]) in LAST):
            kind = kind_of(form["action"])
            if kind not in self.done and not form["own"]:
                self._admin.gate.clock.advance(self._stale)
                self.done[kind] = await self._send(kind, form["index"])
                return True
        return False

    async def _send(self, kind: str, index: int) -> str:
        address = self._page.url
        answer = await self._fill_and_press(kind, index)
        if await self._admin.asked() is not None:
            await self._admin.proves()
            assert self._page.url == address, f"{kind} is not offered again after the proof, but {self._page.url}"
            answer = await self._fill_and_press(kind, index)
        if await self._page.locator(_SURE).count():  # it would harm whoever asks for it
            await self._see(f"sure-{kind}")
            await self._hands.tick(self._page.locator(_SURE))
            answer = await self._hands.press(self._page.locator(f"form:has({_SURE})").locator(_BUTTON).first)
        words = await self._page.inner_text("main")
        assert answer.status == 200, f"{kind} answers {answer.status}: {words}"
        said = self._page.locator("main [role=status]")
        assert await said.count(), f"{kind} is done, and nothing says so: {words}"
        assert self._page.url.split("?")[0].partition(HOME)[1], f"{kind} leads out of the panel"
        await self._see(f"done-{kind}")
        return await said.first.inner_text()

    async def _fill_and_press(self, kind: str, index: int) -> Response:
        form = self._page.locator("main form[method=post]").nth(index)
        fold = form.locator(_FOLD)
        if await fold.count():
            await self._hands.unfold(fold)
        filled = FILLED | ELSEWHERE.get(kind, {})
        for name in await form.evaluate(_EMPTY):
            assert name in filled, f"{kind}: what stands in {name}?"
            await self._hands.fill(form.locator(f"[name={name}]"), filled[name])
        return await self._hands.press(form.locator(_BUTTON).first)


async def offers(admin: Admin) -> set[str]:
    """The kinds of act that the page has forms for."""
    return {kind_of(form["action"]) for form in await admin.page.evaluate(_FORMS) if not form["own"]}
