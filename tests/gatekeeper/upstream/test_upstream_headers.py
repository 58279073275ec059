"""Header rules in both directions (security 3, 4, 29)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.upstream.headers import (
    NAMES,
    RawHeaders,
    canonical_name,
    cookie_set_by,
    learn,
    request_headers_for_upstream,
    response_headers_for_client,
    without_cookies,
)

IDENTITY = frozenset({b"x-gate-user", b"x-gate-subject", b"remote-user"})
COOKIES = frozenset({b"__Host-gate", b"__Host-gate-refresh", b"gate"})

TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
tokens = st.lists(st.sampled_from(TOKEN_BYTES), min_size=1, max_size=12).map(bytes)
values = st.lists(st.sampled_from([9, *range(32, 127), *range(128, 256)]), max_size=20).map(bytes)
fields = st.lists(st.tuples(tokens, values), max_size=12)


def forwarded(headers: RawHeaders, **options: object) -> RawHeaders:
    return request_headers_for_upstream(headers, identity_names=IDENTITY, cookie_names=COOKIES, **options)  # type: ignore[arg-type]  # options vary by test


@pytest.mark.parametrize(
    "name",
    [b"X-Gate-User", b"x-gate-user", b"X-GATE-USER", b"X_Gate_User", b"x_gate-user", b"X-Gate_User", b"Remote_User"],
)
def test_identity_fields_of_the_client_are_deleted_in_every_spelling(name: bytes) -> None:
    """security 3."""
    assert forwarded([(b"Host", b"a"), (name, b"admin"), (b"Accept", b"*/*"), (name, b"")]) == [
        (b"Host", b"a"),
        (b"Accept", b"*/*"),
    ]


@pytest.mark.parametrize(
    "field",
    [
        (b"Connection", b"keep-alive"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"Proxy-Authorization", b"Basic x"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X-Gate-User"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Transfer_Encoding", b"chunked"),
        (b"Content-Length", b"5"),
        (b"Content_Length", b"5"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAMAAABk"),
        (b"X-Api-Key", b"secret"),
        (b"X_Api_Key", b"secret"),
        (b"Authorization", b"Bearer secret"),
    ],
)
def test_fields_between_client_and_gate_do_not_reach_the_upstream(field: tuple[bytes, bytes]) -> None:
    """security 4."""
    assert forwarded([field, (b"Host", b"a")]) == [(b"Host", b"a")]


def test_authorization_passes_where_the_rule_says_so_but_api_keys_never() -> None:
    headers = [(b"Authorization", b"Basic x"), (b"X-Api-Key", b"secret"), (b"Host", b"a")]
    assert forwarded(headers, pass_authorization=True) == [(b"Authorization", b"Basic x"), (b"Host", b"a")]


def test_fields_named_in_connection_are_deleted_wherever_they_stand() -> None:
    """security 4."""
    headers = [
        (b"X-One", b"1"),
        (b"Connection", b"close, x-one ,X-Two,"),
        (b"X-Two", b"2"),
        (b"x_two", b"3"),
        (b"Host", b"a"),
    ]
    assert forwarded(headers) == [(b"Host", b"a")]


def test_connection_cannot_take_away_the_host_or_what_the_gate_sets() -> None:
    """security 3: naming them in Connection is how identity was stripped from requests elsewhere."""
    headers = [(b"Host", b"a"), (b"Connection", b"host, x-gate-user, content-length"), (b"X-Gate-User", b"evil")]
    own = [(b"X-Gate-User", b"ann@example.org"), (b"X-Forwarded-For", b"192.0.2.1")]
    assert forwarded(headers, set_fields=own) == [(b"Host", b"a"), *own]


def test_twins_of_what_the_gate_sets_are_deleted() -> None:
    headers = [(b"X_Forwarded_For", b"evil"), (b"x-forwarded-for", b"evil"), (b"Via", b"evil"), (b"Host", b"a")]
    assert forwarded(headers, drop=frozenset({b"via"}), set_fields=[(b"X-Forwarded-For", b"192.0.2.1")]) == [
        (b"Host", b"a"),
        (b"X-Forwarded-For", b"192.0.2.1"),
    ]


@pytest.mark.parametrize("bad", [b"a\r\nX-Gate-User: evil", b"a\nb", b"a\0b", b"\x1b[31m", b"\x7f", b"\x0b"])
def test_control_characters_in_values_are_refused_in_both_directions(bad: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        forwarded([(b"X-A", bad)])
    with pytest.raises(ValueError, match="control character"):
        forwarded([], set_fields=[(b"X-A", bad)])
    with pytest.raises(ValueError, match="control character"):
        response_headers_for_client([(b"X-A", bad)], cookie_names=COOKIES)


@pytest.mark.parametrize("bad", [b"", b"X A", b"X:A", b"X\r\nA", b"Transfer-Encoding: chunked\r\nX", b"X\xff", b"(x)"])
def test_names_that_are_no_tokens_are_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="token"):
        forwarded([(bad, b"x")])
    with pytest.raises(ValueError, match="token"):
        response_headers_for_client([(bad, b"x")], cookie_names=COOKIES)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"__Host-gate=x", b""),
        (b"__Host-gate=x; __Host-gate-refresh=y", b""),
        (b"a=1; __Host-gate=x; b=2", b"a=1; b=2"),
        (b"__Host-gate=x; a=1", b"a=1"),
        (b"a=1;__Host-gate=x", b"a=1"),
        (b"a=1; gate =x", b"a=1"),
        (b"a=1; \tgate=x;;b=2", b"a=1;;b=2"),
        (b"gate", b""),
        (b"gate=x;", b""),
        (b"gate=x; gate=y; a=gate=z", b"a=gate=z"),
        (b"GATE=x; __host-gate=y; gates=z; my-gate=q", b"GATE=x; __host-gate=y; gates=z; my-gate=q"),
        (b'a=1;  b="q;" ;c', b'a=1;  b="q;" ;c'),
        (b"", b""),
    ],
)
def test_the_gates_cookies_are_cut_out_and_the_others_stay_byte_for_byte(value: bytes, left: bytes) -> None:
    assert without_cookies(value, COOKIES) == left


def test_several_cookie_fields_are_each_cleaned_and_empty_ones_dropped() -> None:
    headers = [(b"Cookie", b"gate=x"), (b"cookie", b"a=1; gate=y"), (b"COOKIE", b"b=2")]
    assert forwarded(headers) == [(b"cookie", b"a=1"), (b"COOKIE", b"b=2")]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"gate=x; Path=/", b"gate"),
        (b" gate=x", b"gate"),
        (b"gate =x;path=/", b"gate"),
        (b"\tgate\t= x", b"gate"),
        (b"gate", b"gate"),
        (b"gate; Secure", b"gate"),
        (b"=gate=x", b"gate"),
        (b" = gate=x", b"gate"),
        (b"==gate=x", b"gate"),
        (b"Gate=x", b"Gate"),
        (b"a=gate=x", b"a"),
        (b"", b""),
    ],
)
def test_a_set_cookie_is_known_by_the_name_a_browser_would_send_back(value: bytes, name: bytes) -> None:
    """security 29."""
    assert cookie_set_by(value) == name


def test_an_answer_keeps_all_but_what_belongs_to_the_gate_or_the_hop() -> None:
    """security 29: the upstream shares an origin with the gate's pages."""
    kept = [
        (b"content-TYPE", b"text/html;  charset=utf-8"),
        (b"Set-Cookie", b"theirs=1; Path=/"),
        (b"Set-Cookie", b"theirs=2"),
        (b"X-Empty", b""),
        (b"X-Raw", b"\xe4\t x"),
    ]
    dropped = [
        (b"Set-Cookie", b"__Host-gate=evil; Path=/; Secure"),
        (b"set-cookie", b"__Host-gate-refresh=evil"),
        (b"Set-Cookie", b"=__Host-gate=evil"),
        (b"X-Gate-Reason", b"ok"),
        (b"X_Gate_User", b"ok"),
        (b"Clear-Site-Data", b'"cookies"'),
        (b"Service-Worker-Allowed", b"/"),
        (b"Connection", b"X-Hop"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Trailer", b"X"),
        (b"Upgrade", b"h2c"),
        (b"Content-Length", b"5"),
    ]
    mixed = [field for pair in zip(dropped, kept + dropped, strict=False) for field in pair][: 2 * len(kept)] + dropped
    assert response_headers_for_client(mixed, cookie_names=COOKIES) == kept


@given(fields, st.lists(tokens, max_size=3))
def test_no_client_field_that_reads_as_an_identity_name_survives(headers: RawHeaders, named: list[bytes]) -> None:
    """security 3."""
    headers = [*headers, (b"Connection", b",".join(named)), (b"x_GATE-subject", b"evil")]
    own = [(b"X-Gate-Subject", b"")]
    result = forwarded(headers, set_fields=own)
    assert result[-1:] == own
    for name, _ in result[:-1]:
        assert canonical_name(name) not in IDENTITY
        assert canonical_name(name) not in {option.lower().replace(b"_", b"-") for option in named} - {b"host"}


@given(fields)
def test_what_is_kept_is_kept_byte_for_byte_and_in_order(headers: RawHeaders) -> None:
    headers = [field for field in headers if field[0].lower() != b"cookie"]
    result = iter(headers)
    assert all(field in result for field in forwarded(headers))


@given(st.lists(st.tuples(st.sampled_from([b"gate", b"Gate", b"a", b" gate", b"__Host-gate "]), values), max_size=6))
def test_no_cookie_of_the_gate_is_left_under_its_name(pairs: list[tuple[bytes, bytes]]) -> None:
    left = without_cookies(b";".join(name + b"=" + value for name, value in pairs), COOKIES)
    assert not {part.partition(b"=")[0].strip(b" \t") for part in left.split(b";")} & COOKIES


def test_the_memory_of_names_is_bounded() -> None:
    for number in range(5000):
        learn(b"X-Client-%d" % number)
    learn(b"X" * 5000)
    assert len(NAMES) <= 2048
    assert b"X" * 5000 not in NAMES
