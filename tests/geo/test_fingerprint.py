"""geo.fingerprint: the same browser is known again, another one is not."""

from __future__ import annotations

from multidict import CIMultiDict

from geo.fingerprint import Traits, fingerprint, traits_of

KEY = b"k" * 32
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)
HEADERS = {
    "User-Agent": CHROME,
    "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
    "Sec-CH-UA": '"Chromium";v="131", "Google Chrome";v="131", "Not_A Brand";v="24"',
    "Sec-CH-UA-Platform": '"Windows"',
    "Sec-CH-UA-Mobile": "?0",
}


def of(tls: str = "", key: bytes = KEY, **changes: str) -> str | None:
    renamed = {name.replace("_", "-"): value for name, value in changes.items()}
    return fingerprint(key, traits_of(CIMultiDict({**HEADERS, **renamed}), tls))


def test_an_update_of_the_browser_is_the_same_device() -> None:
    updated = of(
        User_Agent=CHROME.replace("131", "132"),
        Sec_CH_UA='"Not/A)Brand";v="8", "Google Chrome";v="132", "Chromium";v="132"',
    )
    assert updated == of()


def test_every_stable_trait_counts() -> None:
    others = [
        of(User_Agent=IPHONE),
        of(User_Agent=CHROME.replace("NT 10.0", "NT 6.1")),
        of(Accept_Language="en-US,en;q=0.5"),
        of(Accept_Language="en,de"),
        of(Sec_CH_UA='"Chromium";v="131", "Microsoft Edge";v="131"'),
        of(Sec_CH_UA_Platform='"Linux"'),
        of(Sec_CH_UA_Mobile="?1"),
        of(tls="t13d1516h2_8daaf6152771_b186095e22b6"),
        of(key=b"another key" * 3),
    ]
    assert len({of(), *others}) == 1 + len(others)


def test_weights_of_languages_and_the_order_of_brands_do_not_count() -> None:
    assert of(Accept_Language="de-de, de;q=0.7 , EN;q=0.1") == of()
    assert of(Sec_CH_UA='"Google Chrome";v="131", "Chromium";v="131"') == of()


def test_parts_cannot_be_shifted_into_each_other() -> None:
    assert fingerprint(KEY, Traits(browser="ab", os="c")) != fingerprint(KEY, Traits(browser="a", os="bc"))


def test_whoever_says_nothing_has_no_fingerprint() -> None:
    assert fingerprint(KEY, traits_of(CIMultiDict({"Accept": "*/*"}))) is None


def test_hostile_headers_are_bounded() -> None:
    found = traits_of(
        CIMultiDict({"Sec-CH-UA": '"x";v="' * 10_000, "Accept-Language": "a," * 10_000, "User-Agent": "\ud800"})
    )
    assert len(found.brands) <= 16
    assert len(found.languages) <= 16
    assert fingerprint(KEY, found) is not None
