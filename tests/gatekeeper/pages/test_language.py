"""Languages: which one somebody gets, and that each has every text (issue 4)."""

import importlib.util
import io
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from forms import Browser, text_of
from multidict import CIMultiDict

import gatekeeper.pages
from gatekeeper.errors import Problem
from gatekeeper.identity import second_step
from gatekeeper.pages.language import Languages
from gatekeeper.pages.words import field_fault, sentence
from policies.model import Reason

ROOT = Path(__file__).parents[3]
PAGES = Path(gatekeeper.pages.__file__).parent
CATALOGUES = sorted(PAGES.glob("locale/*/LC_MESSAGES/messages.po"))
_NAMED = re.compile(r"%\((\w+)\)s")


@pytest.fixture(scope="module")
def languages():
    return Languages()


@pytest.fixture
def german(languages):
    return languages.find("de")


def _texts():
    spec = importlib.util.spec_from_file_location("catalogue", ROOT / "scripts" / "catalogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {message.id for message in module.texts() if message.id}


def _forms(text):
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parents[1].name)
def test_every_text_is_translated_and_none_is_fuzzy_or_left_over(file):
    """After a change of texts: make catalogue, then fill in what it names."""
    catalogue = read_po(io.BytesIO(file.read_bytes()), locale=file.parents[1].name)
    messages = [message for message in catalogue if message.id]
    assert {message.id for message in messages} == _texts()
    assert [message.id for message in messages if message.fuzzy or not all(_forms(message.string))] == []
    assert not catalogue.obsolete


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parents[1].name)
def test_a_translation_names_the_same_values(file):
    for message in read_po(io.BytesIO(file.read_bytes()), locale=file.parents[1].name):
        wanted = {name for form in _forms(message.id) for name in _NAMED.findall(form)}
        for form in _forms(message.string) if message.id else ():
            named = set(_NAMED.findall(form))
            assert named == wanted or (named < wanted and not isinstance(message.id, str)), message.id
            assert "%" not in _NAMED.sub("", form), message.id


def test_there_is_a_second_language():
    assert len(CATALOGUES) >= 1


@pytest.mark.parametrize(
    ("cookie", "accept", "tag"),
    [
        (None, None, "en"),
        (None, "de", "de"),
        (None, "de-CH, en;q=0.8", "de"),
        (None, "en-GB, de;q=0.8", "en"),
        (None, "fr, de;q=0.3, en;q=0.2", "de"),
        (None, "fr, de;q=0", "en"),
        (None, "DE", "de"),
        (None, "*", "en"),
        (None, "de;q=nan, de;q=x, ;;;,", "en"),
        (None, "x" * 10_000 + ",de", "en"),
        ("de", "en", "de"),
        ("en", "de", "en"),
        ("../../de", "de", "de"),
    ],
)
def test_a_choice_comes_before_what_the_browser_asks_for(languages, cookie, accept, tag):
    assert languages.chosen(cookie, accept).tag == tag


def test_the_choice_is_found_among_other_cookies(languages):
    headers = CIMultiDict([("Cookie", "a=b; gate-lang=de"), ("Cookie", "c=d"), ("Accept-Language", "en")])
    assert languages.of(headers).tag == "de"


def test_dates_countries_and_spans_are_said_as_speakers_do(german, languages):
    assert german.country("AT") == "Österreich"
    assert german.country(None) is None
    assert german.country("ZZZ") == "ZZZ"
    assert german.distance(1000, 1000 + 600) == "vor 10 Minuten"
    assert languages.english.distance(1000, 1000 + 600) == "10 minutes ago"
    assert german.moment(0) == "01.01.1970, 00:00 UTC"
    assert (german.span(1), german.span(89), german.span(601)) == ("1 Sekunde", "89 Sekunden", "11 Minuten")


def test_a_login_refused_for_what_is_odd_says_so_and_a_rule_says_nothing_of_itself(german, languages):
    odd = Problem(403, Reason.RULE_DENIED, second_step.UNUSUAL)
    assert sentence(odd, languages.english) == second_step.UNUSUAL
    assert sentence(odd, german).startswith("Diese Anmeldung ist zu ungewöhnlich")
    rule = Problem(403, Reason.RULE_DENIED, "rule payroll decides")
    assert sentence(rule, languages.english).startswith("Your account may not open this.")


def test_a_sentence_that_nobody_translated_is_not_mixed_into_another_language(german, languages):
    fault = Problem(403, Reason.BANNED, "Something that a service said.")
    assert sentence(fault, languages.english) == "Something that a service said."
    assert sentence(fault, german) == "Der Zugang von hier ist vorerst gesperrt."
    assert field_fault("password", "rhymes", german) == "Das lässt sich nicht verwenden."
    said = field_fault("password", "must have at least 12 characters", german)
    assert said == "Das Passwort muss mindestens 12 Zeichen haben."


async def test_the_language_chosen_on_a_page_stays_and_leads_back(gate):
    browser = Browser(gate)
    answer = await browser.submit("/_gate/language", {"lang": "de", "next": "/_gate/login?next=%2Fx"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?next=%2Fx")
    assert "Path=/_gate; " in answer.headers["Set-Cookie"], "services behind the gate do not get it"
    page = await browser.get("/_gate/login")
    assert '<html lang="de">' in await page.text()
    assert "Anmelden" in await text_of(page)


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"lang": "tlh"}, {}, 422),
        ({}, {}, 422),
        ({"lang": "de"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_no_other_language_and_no_other_site_sets_it(gate, fields, headers, status):
    browser = Browser(gate)
    assert (await browser.submit("/_gate/language", fields, headers)).status == status
    assert browser.cookies == {}


async def test_the_choice_of_a_language_leads_nowhere_else(gate):
    answer = await Browser(gate).submit("/_gate/language", {"lang": "de", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
