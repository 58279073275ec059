"""What makes the pages look like their owner's: name, logo, colour, further style. Loaded by ``gatekeeper.app``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "Gatekeeper"
COLOUR: Final = "#3347c9"  # what gate.css has of its own
LOGO_KINDS: Final = (".svg", ".png", ".webp", ".jpg", ".jpeg", ".gif")
_LARGEST: Final = 512 << 10  # bytes; held in memory and sent with every first visit
_AA: Final = 4.5  # WCAG 2.2, 1.4.3
_LIGHT_SURFACE: Final = "#ffffff"
_DARK_SURFACE: Final = "#171b22"
_INK: Final = "#10142b"
_STEP: Final = 0.04


class BadBrand(ValueError):
    """A file that cannot be used, in words for an operator; ``key`` is that of the section ``pages``."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Brand:
    """What replaces the gate's own look; ``files`` are static files by name."""

    name: str
    files: dict[str, bytes]
    logo: str | None = None

    @property
    def sheets(self) -> list[str]:
        """Style sheets after the gate's own, in their order."""
        return [name for name in ("brand.css", "own.css") if name in self.files]

    @classmethod
    def load(
        cls, *, name: str = NAME, logo: Path | None = None, colour: str = COLOUR, css: Path | None = None
    ) -> Brand:
        """Read the files; ``colour`` is ``#rrggbb``. Raises BadBrand."""
        files: dict[str, bytes] = {}
        logo_name = None
        if colour.lower() != COLOUR:
            files["brand.css"] = sheet_of(colour).encode()
        if css is not None:
            files["own.css"] = _read("css", css)
        if logo is not None:
            suffix = logo.suffix.lower()
            if suffix not in LOGO_KINDS:
                raise BadBrand("logo", f"{logo} is none of {', '.join(LOGO_KINDS)}")
            logo_name = f"logo{suffix}"
            files[logo_name] = _read("logo", logo)
        return cls(name, files, logo_name)


def sheet_of(colour: str) -> str:
    """The style sheet that replaces the accent: as near to ``colour`` as can be read in either scheme."""
    light = _until_readable(colour, "#000000", lambda one: contrast(one, _LIGHT_SURFACE) >= _AA)
    dark = _until_readable(colour, "#ffffff", lambda one: min(contrast(one, _DARK_SURFACE), contrast(one, _INK)) >= _AA)
    by_day = _variables(light, mix(light, "#000000", 0.2), _LIGHT_SURFACE)
    by_night = _variables(dark, mix(dark, "#ffffff", 0.25), _INK)
    return f":root {{\n{by_day}}}\n@media (prefers-color-scheme: dark) {{\n:root {{\n{by_night}}}\n}}\n"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mix(colour: str, other: str, share: float) -> str:
    """``colour`` with a ``share`` (0 to 1) of ``other`` in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * share):02x}" for mine, theirs in pairs)


def _variables(accent: str, strong: str, on_accent: str) -> str:
    return f"--accent: {accent};\n--accent-strong: {strong};\n--on-accent: {on_accent};\n--focus: {accent};\n"


def _until_readable(colour: str, towards: str, good: Callable[[str], bool]) -> str:
    share = 0.0
    while not good(found := mix(colour, towards, min(share, 1.0))) and share < 1:
        share += _STEP
    return found


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _read(key: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            body = opened.read(_LARGEST + 1)
    except OSError as fault:
        raise BadBrand(key, f"{file} cannot be read: {fault.strerror}") from None
    if len(body) > _LARGEST:
        raise BadBrand(key, f"{file} is larger than {_LARGEST >> 10} KiB")
    return body
