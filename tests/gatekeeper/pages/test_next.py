"""Where a login leads: never to another origin, by the WHATWG URL rules that browsers follow (security 21)."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from whatwg import resolved_origin

from gatekeeper.pages.next import LONGEST, origin_of, origins_of, safe_next

PUBLIC = "https://gate.example"
ORIGINS = frozenset({PUBLIC, "https://app.example:8443"})
DATA = Path(__file__).parents[2] / "data"
CORPUS = (DATA / "openredirects.txt").read_text(encoding="utf-8").splitlines()


def test_the_oracle_sees_what_these_strings_are_for():
    """A browser that followed them as they are would leave in a good part of the cases."""
    away = [text for text in CORPUS if resolved_origin(text, PUBLIC) != PUBLIC]
    assert len(CORPUS) > 500
    assert len(away) > 200
    assert {"//google.com", "http://google.com", r"\/google.com"} & set(CORPUS) <= set(away)


@pytest.mark.parametrize("decode", [str, unquote, lambda text: unquote(unquote(text))], ids=["as is", "once", "twice"])
def test_no_string_of_the_corpus_leads_away(decode):
    """security 21"""
    for line in CORPUS:
        target = safe_next(decode(line), frozenset({PUBLIC}))
        assert resolved_origin(target, PUBLIC) == PUBLIC, line
        assert target.startswith(("/", PUBLIC + "/")), line


@pytest.mark.parametrize("before", ["", "/", "/x", "https:", "https://", PUBLIC, f"{PUBLIC}/", f"{PUBLIC}."])
def test_no_string_of_the_corpus_leads_away_behind_a_beginning(before):
    """security 21"""
    for line in CORPUS:
        assert resolved_origin(safe_next(before + line, ORIGINS), PUBLIC) in ORIGINS, line


@pytest.mark.parametrize(
    "text",
    [
        "/",
        "/reports",
        "/reports/",
        "/reports/2026?from=1&to=2#totals",
        "/search?q=a%20b+c&back=https://elsewhere.example/x&list[]=1",
        "/a%20b/~ada/(x),y;z=1",
        "/r%C3%A9sum%C3%A9",
        "/files/a%2Fb",
        "/.well-known/x",
        "/a..b/...",
        f"{PUBLIC}/reports?x=1",
        "https://app.example:8443/start",
    ],
)
def test_a_usable_target_is_kept_byte_for_byte(text):
    assert safe_next(text, ORIGINS) == text


def test_an_origin_without_a_path_means_its_start():
    assert safe_next(PUBLIC, ORIGINS) == PUBLIC + "/"
    assert safe_next(f"{PUBLIC}?a=1", ORIGINS) == "/"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "reports",
        "//elsewhere.example",
        "///elsewhere.example",
        "/\\elsewhere.example",
        "/a//b",
        "/a\\b",
        "/%5celsewhere.example",
        "/%2F%2felsewhere.example",
        "/\t/elsewhere.example",
        "/a\n",
        "/a\x00",
        "/%0d%0aSet-Cookie:x=1",
        "/a%7f",
        "/..//elsewhere.example",
        "/a/../b",
        "/a/.",
        "/%2e%2E/b",
        "/a/%2e",
        "/é",
        "/a b",
        "/%zz",
        "/%",
        "/?a=<script>",
        "/?%",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:reports",
        "https:/reports",
        "https://elsewhere.example/",
        "https://gate.example.elsewhere.example/",
        "https://gate.example@elsewhere.example/",
        "https://ada@gate.example/",
        "https://gate.example:443/",
        "https://gate.example:8443/",
        "https://gate.example\\@elsewhere.example/",
        "https://gate.example//elsewhere.example",
        "https://gate.example/\n",
        "https://GATE.example/",
        "HTTPS://gate.example/",
        "http://gate.example/",
        " https://gate.example/",
        "https://[gate.example]/",
        "/" + "a" * LONGEST,
    ],
)
def test_anything_else_becomes_the_start_page(text):
    assert safe_next(text, ORIGINS) == "/"


def test_a_long_hostile_path_is_judged_at_once():
    """The expressions have nothing to go back over."""
    assert safe_next("/" + "%41" * 1300 + "\\", ORIGINS) == "/"
    assert safe_next("/" + "a/" * 2000 + "\\", ORIGINS) == "/"


def test_origins_are_those_of_the_public_url_and_the_listed_hosts():
    assert origins_of(
        "https://Gate.Example:443", ["app.example", "b.example:8443", "c.example:443", "*.d.example"]
    ) == {
        "https://gate.example",
        "https://app.example",
        "https://b.example:8443",
        "https://c.example",
    }
    assert origins_of("http://127.0.0.1:8080", []) == {"http://127.0.0.1:8080"}


def test_the_origin_of_a_target():
    assert origin_of("/x") is None
    assert origin_of("https://app.example:8443/start?x=1") == "https://app.example:8443"
