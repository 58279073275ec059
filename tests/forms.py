"""Forms as a browser sends them."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from gates import RunningGate
from yarl import URL

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@dataclass
class Site:
    """A gate behind another address than its own: of a listener or of a proxy in front. All that ``Browser`` wants."""

    url: str
    client: aiohttp.ClientSession

    async def call(self, method: str, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """A request that follows nowhere, with its body read."""
        url = URL(self.url + path, encoded=True)
        async with self.client.request(method, url, allow_redirects=False, **kwargs) as answer:
            await answer.read()
            return answer


class Browser:
    """Keeps the gate's cookies, and sends forms with the fields that browsers add."""

    def __init__(self, gate: RunningGate | Site) -> None:
        self.gate = gate
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """Navigate there; redirects are not followed."""
        return await self._call("GET", path, {**NAVIGATION, **headers})

    async def submit(
        self, path: str, fields: dict[str, str] | bytes, headers: dict[str, str | None] | None = None
    ) -> aiohttp.ClientResponse:
        """POST a form from a page of the gate; a header of None is left out."""
        own = {**NAVIGATION, "Origin": self.gate.url, "Sec-Fetch-Site": "same-origin"}
        own["Content-Type"] = "application/x-www-form-urlencoded"
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value is not None}
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        return await self._call("POST", path, sent, data=body)

    async def sign_in(self, email: str, password: str) -> aiohttp.ClientResponse:
        """By the login page."""
        return await self.submit("/_gate/login", {"email": email, "password": password})

    async def _call(self, method: str, path: str, headers: dict[str, str], **kwargs: Any) -> aiohttp.ClientResponse:
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.gate.call(method, path, headers=headers, **kwargs)
        for name, morsel in answer.cookies.items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer


async def text_of(answer: aiohttp.ClientResponse) -> str:
    """What a reader sees of a page: no tags, no entities, single blanks."""
    body = re.sub(r"(?s)<head>.*?</head>", "", await answer.text())
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def input_named(page: str, name: str) -> dict[str, str]:
    """The attributes of a form field."""
    match = re.search(rf"<input\b[^>]*\bname=\"{name}\"[^>]*>", page)
    assert match, f"there is no field {name}"
    pairs = re.findall(r"([a-z-]+)(?:=\"([^\"]*)\")?", match[0].removeprefix("<input"))
    return {key: html.unescape(value) for key, value in pairs}
