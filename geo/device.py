"""What a client is, by its User-Agent. Used by the login log, mails, pages and the panel, never on the way of a
forwarded request.

ua-parser and its tables (some 20 ms, 6 MiB) are loaded when the first one is asked about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ua_parser import Result

Kind = Literal["desktop", "phone", "tablet", "tv", "console", "bot", "program"]

_OTHER: Final = "Other"
_LONGEST: Final = 512  # characters that are looked at
_LONGEST_NAME: Final = 60
_DESKTOPS: Final = frozenset(
    {
        *("Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Red Hat", "SUSE", "Gentoo", "Mint", "Kubuntu"),
        *("Chrome OS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris", "Arch Linux", "CentOS", "Slackware"),
    }
)
_BOT: Final = re.compile(r"bot\b|crawl|spider|slurp|headless|phantomjs|scrapy", re.IGNORECASE)
_TV: Final = re.compile(r"\bsmart-?tv\b|\btv\b|\bappletv|\broku\b|\bhbbtv\b|\bbravia\b", re.IGNORECASE)
_CONSOLE: Final = re.compile(r"\bplaystation\b|\bxbox\b|\bnintendo\b", re.IGNORECASE)
_PROGRAM: Final = re.compile(r"[A-Za-z][\w.+-]{0,40}/\d")  # how libraries begin; browsers begin with Mozilla or Opera


@dataclass(frozen=True, slots=True)
class Device:
    """``browser`` such as ``Chrome``, ``os`` such as ``Windows``, versions as far as the text gives them (what
    browsers freeze there, such as Windows 10, is not corrected); None where the text does not say.
    """

    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    kind: Kind | None = None

    @property
    def program(self) -> str | None:
        """Browser and major version in words: ``Chrome 131``."""
        major = (self.browser_version or "").partition(".")[0]
        return f"{self.browser} {major}" if self.browser and major else self.browser

    @property
    def system(self) -> str | None:
        """The operating system's name."""
        return self.os

    @property
    def bot(self) -> bool:
        """Whether it says of itself that nobody sits before it."""
        return self.kind == "bot"


NOTHING: Final = Device()


@lru_cache(maxsize=4096)
def find_device(user_agent: str) -> Device:
    """What a User-Agent says of its sender."""
    # Bytes that were no UTF-8 come as lone surrogates, which the extension does not take.
    text = user_agent[:_LONGEST].encode("utf-8", "replace").decode()
    if not text.strip():
        return NOTHING
    found = _parser()(text)
    agent, system = found.user_agent, found.os
    os = system.family if system and system.family != _OTHER else None
    browser = agent.family if agent and agent.family != _OTHER else None
    return Device(
        browser=browser[:_LONGEST_NAME] if browser else None,
        browser_version=_version(agent.major, agent.minor) if agent and browser else None,
        os=os[:_LONGEST_NAME] if os else None,
        os_version=_version(system.major, system.minor) if system and os else None,
        kind=_kind(text, found, os),
    )


@cache
def _parser() -> Callable[[str], Result]:
    from ua_parser import parse

    return parse


def _version(*parts: str | None) -> str | None:
    known = []
    for part in parts:
        if part is None:
            break
        known.append(part[:12])
    return ".".join(known) or None


def _kind(text: str, found: Result, os: str | None) -> Kind | None:
    family = found.device.family if found.device else ""
    if family == "Spider" or _BOT.search(text):
        return "bot"
    if _CONSOLE.search(text):
        return "console"
    if _TV.search(text):
        return "tv"
    if family.startswith("iPad") or "Tablet" in text or (os == "Android" and "Mobile" not in text):
        return "tablet"
    if os in {"iOS", "Android", "Windows Phone", "KaiOS"} or "Mobile" in text:
        return "phone"
    if os in _DESKTOPS:
        return "desktop"
    return "program" if _PROGRAM.match(text) and not text.startswith(("Mozilla/", "Opera/")) else None
