"""YAML as plain data with the line of every value."""

from __future__ import annotations

import pytest

from gatekeeper.config.document import MAX_BYTES, parse
from gatekeeper.errors import ConfigError, Fault


def fault(text: str) -> Fault:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    (found,) = caught.value.faults
    return found


def test_every_value_has_its_line() -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: 2\n")
    assert document.value == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.lines["b", 1, "c"] == 4
    assert document.line_of(("b", 1, "absent")) == 4
    assert document.line_of(("absent",)) == 1


def test_only_plain_words_and_numbers_are_more_than_text() -> None:
    document = parse("[NO, yes, on, 22:30, 2026-01-01, 0x10, 1_000, 1e3, '5', \"true\", 5, -7, 1.5, true, null, ~]")
    assert document.value == [
        *("NO", "yes", "on", "22:30", "2026-01-01", "0x10", "1_000", "1e3", "5", "true"),
        *(5, -7, 1.5, True, None, None),
    ]


def test_an_empty_document_is_nothing() -> None:
    assert parse("").value is None
    assert parse("# only a comment\n").value is None


def test_all_doubled_keys_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml")
    assert [(one.key, one.line) for one in caught.value.faults] == [("b.c", 2), ("a", 3)]
    assert "first in line 1" in caught.value.faults[1].message


def test_an_alias_repeats_what_its_anchor_names() -> None:
    assert parse("a: &x [1, {b: 2}]\nc: *x\n").value == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


def test_a_bomb_of_aliases_is_refused() -> None:
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "more than 1000000 values" in fault(text).message


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: *x", "&x {a: *x}"])
def test_an_alias_to_what_is_not_complete_is_refused(text: str) -> None:
    assert "names nothing" in fault(text).message


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.system [id]", "a: !x 1", "!!set {a, b}"])
def test_tags_are_refused(text: str) -> None:
    assert "tags such as" in fault(text).message


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("a: 1\nb: [1\nc: 2\n", "not YAML", 3),
        ("a:\n\t- b\n", "not with tabs", 2),
        ("a: \x01", "not YAML", None),
        ("---\na: 1\n---\nb: 2\n", "one document", 3),
        ("? [a]\n: b\n", "plain text", 1),
        ("!x a: 1\n", "plain text", 1),
        ("a: " + "[" * 40 + "]" * 40, "nested too deeply", 1),
        ("a: " + "[" * 100_000, "nested too deeply", 1),
        ("#" * (MAX_BYTES + 1), "larger than 10 MiB", None),
    ],
)
def test_what_is_not_plain_yaml_is_said_in_one_line(text: str, words: str, line: int | None) -> None:
    found = fault(text)
    assert words in found.message
    assert found.line == line
    assert "\n" not in str(found)
