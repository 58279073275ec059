"""Regular expressions over paths: RE2's, whole, bounded, and where the index keeps them."""

from __future__ import annotations

import pytest

from policies.globs import parse_glob, split_path
from policies.patterns import MAX_REGEX, parse_regex


def fits(expression: str, path: str) -> bool:
    return parse_regex(f"regex:{expression}").matches(split_path(path))


@pytest.mark.parametrize(
    ("expression", "path", "expected"),
    [
        ("/api/v[0-9]+/.*", "/api/v12/x", True),
        ("/api/v[0-9]+/.*", "/api/v/x", False),
        ("/api", "/api/x", False),
        ("/api", "/x/api", False),
        ("^/api$", "/api", True),
        ("(/a|/b)", "/b", True),
        ("(?i)/API", "/api", True),
        ("/%C3%A4", "/%c3%a4", True),
        ("/a.b", "/a/b", True),
    ],
)
def test_a_regular_expression_is_over_the_whole_canonical_path(expression: str, path: str, expected: bool) -> None:
    assert fits(expression, path) is expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("/(", "missing"),
        (r"/(a)\1", "escape"),
        ("/(?=a)", "invalid"),
        ("/((a{100}){100}){100}", "repetition"),
        ("/" + "a" * MAX_REGEX, "at most 1024 characters"),
        ("api", "begins with /"),
        ("/ä", "percent-encoded"),
        ("/a\n", "percent-encoded"),
        ("", "begins with /"),
    ],
)
def test_what_is_no_bounded_regular_expression_is_refused_in_words(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_regex(f"regex:{expression}")


def test_an_expression_that_stalls_backtracking_engines_takes_no_time_to_speak_of() -> None:
    assert not fits("/(a*)*b", "/" + "a" * 8000 + "c")


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("/api/v[0-9]+", ("api",)),
        ("/api/v1/x", ("api", "v1")),
        ("/api/?x", ()),
        ("/api/*x", ()),
        ("/api?/x", ()),
        ("/a/b{2}/c", ("a",)),
        ("/a|/b/c", ()),
        ("/a/(b|c)", ()),
        ("(/a)/b", ()),
        ("/a.c/b", ()),
        ("(?i)/a/b", ()),
        ("/a/b/", ("a", "b")),
    ],
)
def test_the_index_keeps_an_expression_only_below_what_every_match_begins_with(
    expression: str, literal: tuple[str, ...]
) -> None:
    assert parse_regex(f"regex:{expression}").literal_segments == literal


def test_a_glob_covers_an_expression_below_it_and_an_expression_only_itself() -> None:
    versions = parse_regex("regex:/api/v[0-9]+")
    assert parse_glob("/**").covers(versions)
    assert parse_glob("/api/**").covers(versions)
    assert not parse_glob("/api/*").covers(versions)
    assert not parse_glob("/apis/**").covers(versions)
    assert versions.covers(parse_regex("regex:/api/v[0-9]+"))
    assert not versions.covers(parse_glob("/api/v1"))
