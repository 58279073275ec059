"""geo.device: what a User-Agent says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from geo.device import Device, find_device

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)


def test_browser_system_versions_and_kind_are_told_apart() -> None:
    assert find_device(CHROME) == Device("Chrome", "131.0", "Windows", "10", "desktop")
    assert find_device(IPHONE) == Device("Mobile Safari", "17.5", "iOS", "17.5", "phone")
    assert (find_device(CHROME).program, find_device(CHROME).system) == ("Chrome 131", "Windows")


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (IPHONE.replace("iPhone;", "iPad;").replace("iPhone OS", "OS"), "tablet"),
        ("Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36", "phone"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 SamsungBrowser/4.0 TV Safari/537.36", "tv"),
        ("Mozilla/5.0 (PlayStation 5 3.20) AppleWebKit/605.1.15", "console"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36", "bot"),
        ("curl/8.1.2", "program"),
        ("Python/3.11 aiohttp/3.9", "program"),
        ("", None),
        ("?", None),
    ],
)
def test_kinds_of_devices(agent: str, kind: str | None) -> None:
    assert find_device(agent).kind == kind


def test_what_no_browser_sends_is_bounded_and_harmless() -> None:
    junk = "A" * 100_000
    assert find_device(f"{junk}/1").browser is None
    found = find_device("Mozilla/5.0 (Windows NT 10.0) " + "\x00\ud800 Firefox/" + "9" * 400)
    assert all(len(part or "") <= 60 for part in (found.browser, found.browser_version, found.os))


def test_the_parser_is_not_loaded_before_somebody_asks() -> None:
    code = "import sys, geo.device, geo.fingerprint; sys.exit('ua_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
