"""One identity per address (security 18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.identity.emails import InvalidEmail, canonical_email


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ADA@EXAMPLE.COM", "ada@example.com"),
        ("Stra\u00dfe@example.com", "strasse@example.com"),
        ("\uff41da@example.com", "ada@example.com"),
        ("a\u0308da@example.com", "\u00e4da@example.com"),
        ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("ada@localhost", "ada@localhost"),
    ],
)
def test_every_spelling_has_one_canonical_form(typed, canonical):
    assert canonical_email(typed) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a@b@example.com",
        "a\uff20b@example.com",
        "ada@example.com.",
        "ada@.example.com",
        "ada@example..com",
        "ada@example",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "a da@example.com",
        "ada@exa mple.com",
        "a\u200bda@example.com",
        "a\u00adda@example.com",
        "\u202eada@example.com",
        "ada\n@example.com",
        "ada\x00@example.com",
        ".ada@example.com",
        "a..b@example.com",
        '"a b"@example.com',
        "ada@-example.com",
        "ada@exa_mple.com",
        "x" * 65 + "@example.com",
        "ada@" + "x" * 260 + ".com",
    ],
)
def test_what_is_not_one_plain_address_is_refused(typed):
    with pytest.raises(InvalidEmail):
        canonical_email(typed)


@given(st.text(max_size=60) | st.builds("{}@{}.com".format, st.text(max_size=20), st.text(max_size=20)))
def test_the_canonical_form_of_anything_accepted_is_its_own(text):
    try:
        canonical = canonical_email(text)
    except InvalidEmail:
        return
    assert canonical_email(canonical) == canonical
    assert canonical.count("@") == 1
    assert canonical.isprintable()
