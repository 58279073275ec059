"""What stays of a browser from one visit to the next: a keyed hash over its stable traits. Used by the login log.

Browser versions are left out, so that an update is not another device; so is what a browser sends in changing order.
A fingerprint is no secret and no proof: whoever copies every header has it too. It tells honest devices apart, and a
token that has been carried to another machine. The key keeps fingerprints of one gate from being compared elsewhere.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from geo.device import find_device

_LONGEST: Final = 512  # characters of a header that count
_MOST: Final = 16  # brands, languages
_BRAND: Final = re.compile(r'"((?:[^"\\]|\\.){0,60})"\s*;\s*v\s*=\s*"')
_GREASE: Final = re.compile(r"not.{0,3}a.{0,3}brand", re.IGNORECASE)  # made-up brands, which change with versions
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3}|\*")


@dataclass(frozen=True, slots=True)
class Traits:
    """``brands`` and ``platform`` are client hints, ``languages`` in the order of preference, ``tls`` a JA3 or JA4."""

    brands: tuple[str, ...] = ()
    platform: str = ""
    mobile: str = ""
    browser: str = ""
    os: str = ""
    os_major: str = ""
    languages: tuple[str, ...] = ()
    tls: str = ""

    @property
    def none(self) -> bool:
        """Whether the client said nothing by which to know it again."""
        return not (self.brands or self.browser or self.os or self.languages or self.tls)


def traits_of(headers: Mapping[str, str], tls: str = "") -> Traits:
    """The traits of a request; ``headers`` by any spelling that the mapping finds, ``tls`` from whoever ended TLS."""
    device = find_device(headers.get("User-Agent", ""))
    return Traits(
        brands=_brands(headers.get("Sec-CH-UA", "")[:_LONGEST]),
        platform=headers.get("Sec-CH-UA-Platform", "")[:60].strip('" '),
        mobile=headers.get("Sec-CH-UA-Mobile", "")[:4].strip(),
        browser=device.browser or "",
        os=device.os or "",
        os_major=(device.os_version or "").partition(".")[0],
        languages=_languages(headers.get("Accept-Language", "")[:_LONGEST]),
        tls=tls[:_LONGEST],
    )


def fingerprint(key: bytes, traits: Traits) -> str | None:
    """HMAC-SHA256 of the traits, 128 bits in hexadecimal digits; None where there are none."""
    if traits.none:
        return None
    parts = (
        "v1",
        "\x1f".join(traits.brands),
        traits.platform,
        traits.mobile,
        traits.browser,
        traits.os,
        traits.os_major,
        "\x1f".join(traits.languages),
        traits.tls,
    )
    message = b"".join(b"%d:%b" % (len(raw), raw) for raw in (part.encode("utf-8", "replace") for part in parts))
    return hmac.digest(key, message, "sha256").hex()[:32]


def _brands(text: str) -> tuple[str, ...]:
    names = {name for name in _BRAND.findall(text)[:_MOST] if not _GREASE.search(name)}
    return tuple(sorted(names))


def _languages(text: str) -> tuple[str, ...]:
    """Tags without their weights, each once, as they come: browsers send them by preference."""
    found = (_LANGUAGE.match(part.strip()) for part in text.split(",")[:_MOST])
    return tuple(dict.fromkeys(tag[0].lower() for tag in found if tag))
