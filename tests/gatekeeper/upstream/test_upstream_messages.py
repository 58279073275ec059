"""Addresses and heads: nothing but the request that was meant gets onto a wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.upstream.messages import OutboundRequest, TargetAddress, encode_head

HOST = (b"Host", b"api.example")


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("http://127.0.0.1:9000", TargetAddress("127.0.0.1", 9000), "http://127.0.0.1:9000"),
        ("HTTP://API.internal", TargetAddress("api.internal", 80), "http://api.internal:80"),
        ("https://my_service", TargetAddress("my_service", 443, tls=True), "https://my_service:443"),
        ("http://[::1]:9000", TargetAddress("::1", 9000), "http://[::1]:9000"),
        ("http://[2001:DB8:0::1]", TargetAddress("2001:db8::1", 80), "http://[2001:db8::1]:80"),
        ("unix:/run/api.sock", TargetAddress(path="/run/api.sock"), "unix:/run/api.sock"),
    ],
)
def test_addresses_are_parsed_and_shown(text: str, expected: TargetAddress, shown: str) -> None:
    assert TargetAddress.parse(text) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:9000",
        "ftp://a",
        "http://",
        "http://a/",
        "http://a/path",
        "http://a?q",
        "http://a#f",
        "http://user@a",
        "http://user:pass@a:80",
        "http://a:0",
        "http://a:65536",
        "http://a:b",
        "http://a:",
        "http://a b",
        "http://a\n",
        "http://a\t",
        "http://-a",
        "http://bücher",
        "http://[::1",
        "http://[::g]",
        "http://[1:2]",
        "http://[fe80::1%25eth0]",
        "unix:relative.sock",
        "unix:",
        "unix:/" + "a" * 107,
        "unix:/a\0b",
    ],
)
def test_what_is_more_or_less_than_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|port|colon|hex|parts|At least"):
        TargetAddress.parse(text)


async def parts() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize(
    ("request_", "framing"),
    [
        (OutboundRequest("GET", "/", [HOST]), b""),
        (OutboundRequest("GET", "/", [HOST], b""), b""),
        (OutboundRequest(b"DELETE", "/", [HOST]), b""),
        (OutboundRequest("POST", "/", [HOST]), b"Content-Length: 0\r\n"),
        (OutboundRequest("PUT", "/", [HOST], b"abc"), b"Content-Length: 3\r\n"),
        (OutboundRequest("GET", "/", [HOST], b"abc", 3), b"Content-Length: 3\r\n"),
    ],
)
def test_framing_is_made_from_the_body(request_: OutboundRequest, framing: bytes) -> None:
    assert encode_head(request_) == b"%b / HTTP/1.1\r\nHost: api.example\r\n%b\r\n" % (request_.method_bytes, framing)


async def test_parts_are_sent_chunked_unless_their_length_is_known() -> None:
    known, unknown = parts(), parts()
    assert b"\r\nContent-Length: 7\r\n" in encode_head(OutboundRequest("POST", "/", [HOST], known, 7))
    assert b"\r\nTransfer-Encoding: chunked\r\n" in encode_head(OutboundRequest("POST", "/", [HOST], unknown))


def test_framing_and_connection_are_never_copied() -> None:
    """security 4."""
    copied = [
        (b"Content-Length", b"99"),
        (b"Transfer_Encoding", b"chunked"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
        (b"TE", b"trailers"),
    ]
    assert encode_head(OutboundRequest("GET", "/a?b=%2f", [*copied, HOST, (b"X-a", b" \xff ")])) == (
        b"GET /a?b=%2f HTTP/1.1\r\nHost: api.example\r\nX-a:  \xff \r\n\r\n"
    )


@pytest.mark.parametrize("target", ["", "a", "*", "http://evil/", "/a b", "/a\r\nX: y", "/\0", "/é", "/\x7f", "?q"])
def test_a_target_that_is_not_in_origin_form_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        encode_head(OutboundRequest("GET", target, [HOST]))


def test_options_may_ask_for_the_server_as_a_whole() -> None:
    assert encode_head(OutboundRequest("OPTIONS", "*", [HOST])).startswith(b"OPTIONS * HTTP/1.1\r\n")


@pytest.mark.parametrize("method", ["", "CONNECT", "TRACE", "GET /x HTTP/1.1\r\nA", "G T", "GÉT", b"G\0T"])
def test_methods_that_are_not_forwarded_are_refused(method: str | bytes) -> None:
    """security 2."""
    with pytest.raises(ValueError, match=r"method|ascii"):
        encode_head(OutboundRequest(method, "/", [HOST]))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [HOST, (b"X", b"a\r\nContent-Length: 5")],
        [HOST, (b"X", b"a\nb")],
        [HOST, (b"X", b"a\rb")],
        [HOST, (b"X", b"a\0b")],
        [HOST, (b"X: a\r\nY", b"b")],
        [HOST, (b"Transfer-Encoding:", b"chunked")],
        [HOST, (b"", b"b")],
    ],
)
def test_heads_that_would_say_something_else_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match=r"Host|line break|token"):
        encode_head(OutboundRequest("GET", "/", headers))


@pytest.mark.parametrize(("body", "length"), [(b"abc", 2), (None, 5), (b"", 1)])
def test_a_length_that_does_not_fit_the_body_is_refused(body: bytes | None, length: int) -> None:
    with pytest.raises(ValueError, match="content_length"):
        encode_head(OutboundRequest("POST", "/", [HOST], body, length))


def test_secrets_do_not_show_in_a_requests_repr() -> None:
    request = OutboundRequest("POST", "/?token=s3cret", [(b"Cookie", b"s3cret")], b"s3cret")
    assert "s3cret" not in repr(request)


@given(st.binary(max_size=30), st.binary(max_size=30), st.text(max_size=20))
def test_a_head_that_is_written_has_exactly_the_lines_that_were_meant(name: bytes, value: bytes, target: str) -> None:
    try:
        head = encode_head(OutboundRequest("GET", target, [HOST, (name, value)]))
    except ValueError:
        return
    lines = head.split(b"\r\n")
    assert len(lines) <= 5
    assert lines[-2:] == [b"", b""]
    assert lines[0] == b"GET %b HTTP/1.1" % target.encode()
    assert b"\n" not in head.replace(b"\r\n", b"")
