"""The canonical target: tables of what is refused and kept, and properties over random paths."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.inbound import canonical_path, canonical_target
from gatekeeper.inbound.target import MAX_TARGET, split_target
from policies.model import RequestTarget

REFUSED_PATHS = [
    "/..",
    "/.",
    "/a/..",
    "/a/../b",
    "/a/./b",
    "/../etc/passwd",
    "/a/..?x",
    "/%2e",
    "/%2E%2e/b",
    "/a/.%2e/b",
    "/a/%2e./b",
    "//",
    "//evil.example/x",
    "/a//b",
    "/a//",
    "/a\\b",
    "/a/..\\b",
    "/a;b",
    "/a;jsessionid=1",
    "/..;/admin",
    "/a#b",
    "/a/%2fb",
    "/a%2Fb",
    "/..%2f..%2fadmin",
    "/a%5cb",
    "/a%5Cb",
    "/a%00",
    "/a%00.png",
    "/a%0d%0aX-Gate-User:%20root",
    "/a%0A",
    "/a%09b",
    "/a%1f",
    "/a%1F",
    "/a%7f",
    "/a%7F",
    "/a%",
    "/a%z",
    "/a%zz",
    "/a%2",
    "/a%2g",
    "/a%%32e",
    "/a%u002e",
    "/%252e%252e/admin",
    "/%25252e/b",
    "/x%252f../admin",
    "/x%255c..%255cadmin",
    "/..%253b/admin",
    "/%2525252525252e/b",
    "/caf\u00e9",
    "/caf\udcc3\udca9",
    "/a b",
    "/a\tb",
    "/a\x00b",
    "/a\x7fb",
    "/a\nb",
    "",
    "*",
    "?",
    "?a=/b",
    "a/b",
    "http://127.0.0.1:8080/",
    "https://evil.example/",
    "evil.example:443",
    "/" + "a" * MAX_TARGET,
]

KEPT_PATHS = [
    ("/", "/"),
    ("/a", "/a"),
    ("/a/", "/a/"),
    ("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
    ("/.well-known/x", "/.well-known/x"),
    ("/a/...", "/a/..."),
    ("/a/..b", "/a/..b"),
    ("/a/b..", "/a/b.."),
    ("/a/.b", "/a/.b"),
    ("/%61dmin", "/admin"),
    ("/%41%7a%30%2d%5F%7e", "/Az0-_~"),
    ("/a%2eb", "/a.b"),
    ("/%2ehidden", "/.hidden"),
    ("/caf%C3%A9", "/caf%C3%A9"),
    ("/caf%c3%a9", "/caf%c3%a9"),
    ("/a%20b", "/a%20b"),
    ("/a%26b&c", "/a%26b&c"),
    ("/100%25", "/100%25"),
    ("/100%2525", "/100%2525"),
    ("/a%2561", "/a%2561"),
    ("/a%23b%3fc%3bd", "/a%23b%3fc%3bd"),
    ("/(a)!$'*+,=:@", "/(a)!$'*+,=:@"),
    ('/"<>^`{|}[]', '/"<>^`{|}[]'),
    ("/a:80/b@c", "/a:80/b@c"),
]


@pytest.mark.parametrize("path", REFUSED_PATHS)
def test_ambiguous_paths_are_refused(path: str) -> None:
    """security 1."""
    assert split_target(path) is None
    assert canonical_target(path, scheme="http", host_field="a.example") is None


@pytest.mark.parametrize(("sent", "canonical"), KEPT_PATHS)
def test_other_paths_are_kept_with_unreserved_characters_decoded_once(sent: str, canonical: str) -> None:
    """security 1."""
    assert split_target(sent) == (canonical, None)
    assert split_target(f"{sent}?q=%2e%2e/..") == (canonical, "q=%2e%2e/..")


@pytest.mark.parametrize(
    "query", ["", "a=b", "a=%zz&%", "../..", "//;\\", "a?b?c", "%00%2f", '{}[]|^`"<>', "x=%61", "next=http://e/#x"]
)
def test_a_query_is_kept_byte_for_byte(query: str) -> None:
    assert split_target(f"/a?{query}") == ("/a", query)


@pytest.mark.parametrize("query", ["a b", "a\tb", "a\x00", "a\x7f", "a\r\nX: y", "\u00e9", "\udcff", "\n"])
def test_a_query_with_controls_or_other_than_ascii_is_refused(query: str) -> None:
    assert split_target(f"/a?{query}") is None
    assert split_target(f"/a%20?{query}") is None


def test_every_byte_in_a_path_is_judged_the_same_raw_as_text_and_as_bytes() -> None:
    for byte in range(256):
        raw = b"/a" + bytes([byte]) + b"b"
        by_bytes = canonical_target(raw, scheme="http", host_field="h")
        by_text = canonical_target(raw.decode("latin-1"), scheme="http", host_field="h")
        assert by_bytes == by_text
        refused = byte <= 0x20 or byte >= 0x7F or byte in b"\\;#%"
        assert (by_bytes is None) == refused, hex(byte)


def test_every_triplet_is_decoded_kept_or_refused_as_the_contract_says() -> None:
    unreserved = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for byte in range(256):
        for form in (f"%{byte:02x}", f"%{byte:02X}"):
            found = canonical_path(f"/a{form}b")
            if byte < 0x20 or byte in b"\x7f/\\":
                assert found is None
            elif byte in unreserved:
                assert found == f"/a{chr(byte)}b"
            else:
                assert found == f"/a{form}b"


def test_a_target_carries_scheme_host_and_port() -> None:
    found = canonical_target("/a?b", scheme="https", host_field="App.Example.ORG:8443")
    assert found == RequestTarget("https", "app.example.org", 8443, "/a", "b")
    assert canonical_target("/a", scheme="https", host_field="a b") is None


@pytest.mark.parametrize(
    ("allow", "kept", "refused"),
    [
        ("%2f", ["/a%2fb", "/a%2Fb/c"], ["/a%2f..", "/..%2fa", "/a%2f.%2fb", "/a;b", "/a//b", "/a%5cb", "/a%252f../b"]),
        (";", ["/a;b", "/a;v=1/c;"], ["/..;/a", "/a/.;x=1", "/a/..;", "/%2e%2e;/a", "/a//b", "/a%2fb"]),
        ("//", ["//a", "/a//b", "/a//"], ["//..", "/a//../b", "/a;b", "/a%2fb", "//.."]),
    ],
)
def test_a_rule_can_allow_one_form_but_never_dot_segments(allow: str, kept: list[str], refused: list[str]) -> None:
    for path in kept:
        assert canonical_path(path, frozenset({allow})) == path
        assert canonical_path(path) is None
    for path in refused:
        assert canonical_path(path, frozenset({allow})) is None


_PIECES = st.sampled_from(
    [*"/.%;\\#?ab~&= ", "..", "//", "%2e", "%2E", "%2f", "%25", "252e", "2e", "2f", "5c", "%5c", "%3b", "%61", "%c3"]
)
_PATHS = st.lists(_PIECES, max_size=24).map(lambda pieces: "/" + "".join(pieces))
_ALLOW = st.frozensets(st.sampled_from(["%2f", ";", "//"]))


@given(_PATHS, _ALLOW)
@example("/%252e%252e/", frozenset())
@example("/a%25%32%66..", frozenset())
def test_no_accepted_path_climbs_however_often_it_is_decoded(path: str, allow: frozenset[str]) -> None:
    """security 1: one canonical target, for servers that decode twice too."""
    found = canonical_path(path, allow)
    if found is None:
        return
    form = found.encode()
    for _ in range(len(path)):
        for segment in re.split(rb"[/\\]", form):
            assert segment.partition(b";")[0] not in {b".", b".."}
        form = unquote_to_bytes(form)


@given(st.one_of(_PATHS, st.text(max_size=40).map(lambda text: "/" + text)), _ALLOW)
def test_canonical_form_is_idempotent(target: str, allow: frozenset[str]) -> None:
    """security 1: what is forwarded reads back as what was decided."""
    found = split_target(target, allow)
    if found is None:
        return
    path, query = found
    again = path if query is None else f"{path}?{query}"
    assert split_target(again, allow) == found
    assert again.isascii()
    assert not re.search(r"[\x00-\x20\x7f]", again)


@given(st.lists(st.sampled_from([*"/aA.0-_~!$&'()*+,=:@", "..", "?", "%"]), max_size=16).map("".join))
def test_the_quick_way_and_the_thorough_way_agree(target: str) -> None:
    path, mark, query = target.partition("?")
    thorough = canonical_path(path)
    expected = None if thorough is None else (thorough, query if mark else None)
    assert split_target(target) == expected
