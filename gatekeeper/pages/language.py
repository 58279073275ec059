"""Languages of the pages: which one a request wants, its texts, dates and names of countries. Used by ``theme``.

The English texts in templates and code are the keys; ``locale/<language>/LC_MESSAGES/messages.po`` translates them
and is compiled in memory at the start, so no catalogue can be older than its source.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib import resources
from itertools import chain
from typing import Final

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from multidict import MultiMapping

from gatekeeper.clock import as_datetime

COOKIE: Final = "gate-lang"
_LONGEST_HEADER: Final = 200  # characters of Accept-Language that are read
_NAMES: Final[Mapping[str, str]] = {"en": "English", "de": "Deutsch"}


@dataclass(frozen=True, slots=True)
class Language:
    """One language: ``tag`` as in ``<html lang>``, ``name`` as its speakers call it."""

    tag: str
    name: str
    _texts: NullTranslations = field(repr=False)
    _locale: Locale = field(repr=False)

    def say(self, text: str, **values: object) -> str:
        """``text`` in this language; ``%(name)s`` in it stands for a value."""
        said = self._texts.gettext(text)
        return said % values if values else said

    def count(self, one: str, many: str, number: int) -> str:
        """The form that goes with ``number``, which stands for ``%(num)s``."""
        return self._texts.ngettext(one, many, number) % {"num": number}

    def knows(self, text: str) -> bool:
        """Whether there is a translation of ``text``; English needs none."""
        return self.tag == "en" or self._texts.gettext(text) != text

    def moment(self, seconds: float) -> str:
        """Unix seconds as a date and time in UTC."""
        time = format_time(as_datetime(seconds), "short", tzinfo=UTC, locale=self._locale)
        return f"{self.day(seconds)}, {time} UTC"

    def day(self, seconds: float) -> str:
        """Unix seconds as a date in UTC."""
        return format_date(as_datetime(seconds), "medium", locale=self._locale)

    def distance(self, seconds: float, now: float) -> str:
        """How far off in time: ``4 minutes ago``, ``vor 4 Minuten``."""
        if abs(seconds - now) < 60:
            return self.say("just now")
        return format_timedelta(timedelta(seconds=seconds - now), add_direction=True, locale=self._locale)

    def span(self, seconds: float) -> str:
        """A length of time, rounded up to whole minutes from a minute and a half on."""
        whole = int(seconds)
        if whole < 90:
            return self.count("%(num)s second", "%(num)s seconds", whole)
        return self.count("%(num)s minute", "%(num)s minutes", -(-whole // 60))

    def country(self, code: str | None) -> str | None:
        """The name of a country by its ISO 3166-1 alpha-2 code; the code itself where it has none."""
        return self._locale.territories.get(code, code) if code else None


class Languages:
    """All that there are; English is the one that everybody gets who asks for none of the others."""

    def __init__(self, package: str = "gatekeeper.pages") -> None:
        self.english = Language("en", _NAMES["en"], NullTranslations(), Locale.parse("en"))
        found = [self.english, *_translated(package)]
        self._by_tag = {language.tag: language for language in found}

    @property
    def all(self) -> Iterable[Language]:
        """English first."""
        return self._by_tag.values()

    def find(self, tag: str) -> Language | None:
        """By exact tag."""
        return self._by_tag.get(tag)

    def of(self, headers: MultiMapping[str]) -> Language:
        """The language for whoever sent these fields."""
        return self.chosen(_cookie(headers.getall("Cookie", ())), headers.get("Accept-Language"))

    def chosen(self, cookie: str | None, accept: str | None) -> Language:
        """What the person chose here (``COOKIE``), else what the browser asks for (RFC 9110 12.5.4)."""
        if cookie is not None and cookie in self._by_tag:
            return self._by_tag[cookie]
        for tag in _wanted((accept or "")[:_LONGEST_HEADER]):
            if tag in self._by_tag:
                return self._by_tag[tag]
        return self.english


#: The language of the page that is being rendered; templates have no other way to it from imported macros.
speaking: ContextVar[Language] = ContextVar("speaking")


def gettext(text: str) -> str:
    """For templates: a text in the page's language."""
    return speaking.get().say(text)


def ngettext(one: str, many: str, number: int) -> str:
    """For templates: a counted text in the page's language."""
    return speaking.get()._texts.ngettext(one, many, number)  # noqa: SLF001  # the template fills in the number


def later(text: str) -> str:
    """Marks a text for the catalogue that is said later, by ``Language.say``."""
    return text


def _cookie(fields: Iterable[str]) -> str | None:
    for part in chain.from_iterable(one.split(";") for one in fields if COOKIE in one):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _wanted(accept: str) -> list[str]:
    """Primary language subtags, most wanted first; ``*`` and those of weight 0 left out."""
    ranges = []
    for position, part in enumerate(accept.split(",")):
        tag, _, parameter = part.strip().partition(";")
        weight = 1.0
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                continue
        if tag and 0 < weight <= 1:
            ranges.append((-weight, position, tag.partition("-")[0].lower()))
    return [tag for _, _, tag in sorted(ranges)]


@cache
def _translated(package: str) -> tuple[Language, ...]:
    """Those that a package has catalogues for, each read once."""
    return tuple(_read(package, tag, name) for tag, name in _NAMES.items() if tag != "en")


def _read(package: str, tag: str, name: str) -> Language:
    file = resources.files(package) / "locale" / tag / "LC_MESSAGES" / "messages.po"
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(file.read_bytes()), locale=tag))
    compiled.seek(0)
    return Language(tag, name, GNUTranslations(compiled), Locale.parse(tag))
