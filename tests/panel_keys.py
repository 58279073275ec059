"""The keyboard instead of the mouse: Tab until it has the focus, and what people press then. Used by the walks."""

from __future__ import annotations

from typing import Final

from panel_acts import Mouse
from panel_admin import Admin
from playwright.async_api import Locator, Page, Response

#: What has the focus: its words, and whether somebody who looks can tell (an outline, and within sight).
_FOCUS: Final = """() => {
  const one = document.activeElement;
  if (one === document.body) return { words: "", seen: true, wanted: false }; // behind the last one, before the first
  const place = one.getBoundingClientRect();
  const words = one.innerText || one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.name || "";
  const style = getComputedStyle(one);
  return { words: words.trim(), wanted: "wanted" in one.dataset, outline: style.outline,
    top: place.top, left: place.left,
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
      && place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth };
}"""
_MOST: Final = 900  # stops of one page


class Keyboard(Mouse):
    """Every stop on the way has to be seen."""

    def __init__(self, admin: Admin) -> None:
        super().__init__(admin)
        self._keys = admin.page.keyboard

    async def unfold(self, summary: Locator) -> None:
        await self._reach(summary)
        await self._keys.press("Enter")

    async def fill(self, field: Locator, text: str) -> None:
        await self._reach(field)
        await self._keys.type(text)

    async def tick(self, box: Locator) -> None:
        await self._reach(box)
        await self._keys.press("Space")

    async def press(self, button: Locator) -> Response:
        await self._reach(button)
        async with self._page.expect_navigation() as going:
            await self._keys.press("Enter")
        answer = await going.value
        assert answer is not None
        return answer

    async def _reach(self, one: Locator) -> None:
        await one.evaluate("one => { one.dataset.wanted = '' }")
        for _ in range(_MOST):
            focus = await self._page.evaluate(_FOCUS)
            if focus["wanted"]:
                await one.evaluate("one => { delete one.dataset.wanted }")
                return
            await self._keys.press("Tab")
            await sees_the_focus(self._page)
        raise AssertionError(f"Tab never comes to {await one.evaluate('one => one.outerHTML')}")


async def sees_the_focus(page: Page) -> str:
    """What has it, in words."""
    focus = await page.evaluate(_FOCUS)
    assert focus["seen"], f"nobody sees what has the focus: {focus}"
    return str(focus["words"])


async def tab_to(page: Page, words: str, *, most: int = 120) -> None:
    """Presses Tab until what has the focus begins with these words; on the way every stop can be seen."""
    for _ in range(most):
        await page.keyboard.press("Tab")
        if (await sees_the_focus(page)).startswith(words):
            return
    raise AssertionError(f"Tab never comes to {words}")
