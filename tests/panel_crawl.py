"""Goes through the panel in a browser as its links lead: each kind of page once. Used by the walks in tests/e2e."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

from playwright.async_api import Page

HOME = "/_gate/admin"
CORPUS = [line for line in (Path(__file__).parent / "data" / "xss.txt").read_text(encoding="utf-8").split("\n") if line]

#: Parts of paths that are no names of things.
_WORDS = frozenset({"bulk", "check", "end", "invite", "live", "named", "new", "verify"})
_THINGS = frozenset({"activity", "logins", "named", "sessions", "signals", "users"})
_PLACES = frozenset({"after", "at", "done", "since", "until"})  # say where in a list, not which list
_LINKS = "() => [...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))"
#: Everything that only text that is no text could have made.
_INTRUDERS = """() => {
  const told = (element, why) => `${why}: ${element.outerHTML.slice(0, 160)}`;
  return [...document.querySelectorAll("*")].flatMap((element) => {
    const found = [];
    if (element.matches("script:not([src]), iframe, object, embed, base, math, x, meta[http-equiv], style")) {
      found.push(told(element, "an element"));
    }
    for (const { name, value } of element.attributes) {
      if (/^(on|style$|srcdoc$|formaction$)/i.test(name)) found.push(told(element, `attribute ${name}`));
      const leads = ["href", "src", "action", "data", "xlink:href", "content", "hx-get"].includes(name);
      if (leads && /^\\s*javascript:|evil\\.example/i.test(value) && !/^\\/_gate\\//.test(value)) {
        found.push(told(element, `${name} leads elsewhere`));
      }
    }
    return found;
  });
}"""
#: What can be read on a page, folded or not, and in its fields and titles.
_READ = """() => [document.body.textContent, ...[...document.querySelectorAll("[title], input, textarea")]
  .map((one) => one.title || one.value)].join("\\n")"""


def kind_of(address: str) -> str:
    """Pages of one kind differ only in the thing that they show, or in where a list goes on."""
    parts = urlsplit(address)
    path = parts.path.removeprefix(HOME).strip("/").split("/")
    shown = [
        "{}" if before in _THINGS and part not in _WORDS else part
        for before, part in zip(["", *path], path, strict=False)
    ]
    fields = sorted({name for name, value in parse_qsl(parts.query) if value} - _PLACES)
    return "/".join(shown) + ("?" + "&".join(fields) if fields else "")


class Crawl:
    """``see`` is called on each page with the page's kind. Where nonsense is filtered by, a page may be ``refused``;
    a ``brief`` crawl follows no link to a page that it has seen with other filters.
    """

    def __init__(
        self, page: Page, see: Callable[[str], Awaitable[None]], *, refused: bool = False, brief: bool = False
    ) -> None:
        self._page = page
        self._see = see
        self._brief = brief
        self._good = {200, 404, 422} if refused else {200}
        self.seen: dict[str, str] = {}

    async def go(self, *starts: str, most: int = 200) -> None:
        """From these addresses, and where they lead within the panel."""
        waiting = [(one, "the start") for one in starts]
        while waiting and len(self.seen) < most:
            address, origin = waiting.pop(0)
            kind = kind_of(address)
            if kind in self.seen or (self._brief and address not in starts and self._path_seen(kind)):
                continue
            self.seen[kind] = address
            answer = await self._page.goto(address)
            assert answer is not None
            assert answer.status in self._good, f"{address}, which {origin} leads to, answers {answer.status}"
            await self._see(kind)
            links = map(self._within, await self._page.evaluate(_LINKS))
            waiting += [(one, address) for one in links if one is not None]

    def _path_seen(self, kind: str) -> bool:
        return any(seen.partition("?")[0] == kind.partition("?")[0] for seen in self.seen)

    def _within(self, link: str) -> str | None:
        parts = urlsplit(urljoin(self._page.url, link))
        if not (parts.path == HOME or parts.path.startswith(f"{HOME}/")) or re.search(r"\.(csv|jsonl)$", parts.path):
            return None
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


async def intruders(page: Page) -> list[str]:
    """What stands on the page and is not the panel's."""
    found: list[str] = await page.evaluate(_INTRUDERS)
    return found


async def readable(page: Page) -> str:
    """All that can be read on the page, in single blanks."""
    text: str = await page.evaluate(_READ)
    return " ".join(text.split())


def name_of(kind: str) -> str:
    """For a file."""
    return re.sub(r"[^a-z0-9]+", "-", kind.lower().replace("{}", "one")).strip("-") or "overview"
