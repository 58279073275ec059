"""What people and programs sign in with: user agents as browsers send them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SAFARI: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_MOBILE: Final = "Version/18.6 Mobile/15E148 Safari/604.1"
_CHROMES: Final = ("140.0.0.0", "141.0.0.0", "142.0.0.0")
#: A user agent with the share of those that use it, in per cent.
_DESKTOPS: Final = (
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/%s Safari/537.36", 34),
    (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Chrome/%s Safari/537.36", 20),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/%s Safari/537.36 Edg/%s", 14),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0", 9),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", 8),
    (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Version/18.6 Safari/605.1.15", 15),
)
_PHONES: Final = (
    (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_SAFARI} {_MOBILE}", 50),
    (f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Chrome/%s Mobile Safari/537.36", 38),
    (f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI} {_MOBILE}", 12),
)
PROGRAMS: Final = ("python-requests/2.32.5", "Go-http-client/1.1", "curl/8.14.1", "okhttp/4.12.0")
_LANGUAGES: Final = {
    "CH": "de-CH,de;q=0.9,en;q=0.7",
    "DE": "de-DE,de;q=0.9,en-US;q=0.7",
    "AT": "de-AT,de;q=0.9,en;q=0.7",
    "FR": "fr-FR,fr;q=0.9,en;q=0.6",
    "ES": "es-ES,es;q=0.9",
    "PL": "pl-PL,pl;q=0.9,en;q=0.7",
    "NL": "nl-NL,nl;q=0.9,en;q=0.8",
}


@dataclass(slots=True)
class Browser:
    """One browser on one device; ``cookie`` is the id that its first good login leaves there."""

    user_agent: str
    language: str
    cookie: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of which a fingerprint is made."""
        return {"User-Agent": self.user_agent, "Accept-Language": self.language}


def desktop(random: Random, country: str) -> Browser:
    """A browser on somebody's computer."""
    return _browser(random, _DESKTOPS, country)


def phone(random: Random, country: str) -> Browser:
    """A browser on somebody's phone or tablet."""
    return _browser(random, _PHONES, country)


def program(random: Random) -> Browser:
    """What tries lists of passwords."""
    return Browser(random.choice(PROGRAMS), "")


def _browser(random: Random, kinds: tuple[tuple[str, int], ...], country: str) -> Browser:
    (text,) = random.choices([kind for kind, _ in kinds], [share for _, share in kinds])
    return Browser(text.replace("%s", random.choice(_CHROMES)), _LANGUAGES.get(country, "en-US,en;q=0.9"))
