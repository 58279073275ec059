"""Where an answer's body ends (security 4)."""

from __future__ import annotations

import pytest

from gatekeeper.upstream.framing import BodyKind, frame_answer

LENGTH = (b"Content-Length", b"5")
CHUNKED = (b"Transfer-Encoding", b"chunked")


@pytest.mark.parametrize(
    ("status", "http_1_1", "head", "fields", "kind", "length", "keep_alive"),
    [
        (200, True, False, [LENGTH], BodyKind.LENGTH, 5, True),
        (200, True, False, [(b"content_length", b"5")], BodyKind.LENGTH, 5, True),
        (200, True, False, [CHUNKED], BodyKind.CHUNKED, None, True),
        (200, True, False, [(b"transfer-encoding", b" Chunked\t")], BodyKind.CHUNKED, None, True),
        (200, True, False, [], BodyKind.CLOSE, None, False),
        (200, True, False, [LENGTH, (b"Connection", b"close")], BodyKind.LENGTH, 5, False),
        (200, True, False, [LENGTH, (b"Connection", b"x, Close")], BodyKind.LENGTH, 5, False),
        (200, False, False, [LENGTH], BodyKind.LENGTH, 5, False),
        (200, False, False, [LENGTH, (b"Connection", b"Keep-Alive")], BodyKind.LENGTH, 5, True),
        (200, False, False, [LENGTH, (b"Connection", b"keep-alive, close")], BodyKind.LENGTH, 5, False),
        (204, True, False, [], BodyKind.NONE, None, True),
        (204, True, False, [LENGTH], BodyKind.NONE, 5, False),
        (204, True, False, [CHUNKED], BodyKind.NONE, None, False),
        (304, True, False, [LENGTH], BodyKind.NONE, 5, True),
        (304, True, False, [CHUNKED], BodyKind.NONE, None, False),
        (200, True, True, [], BodyKind.NONE, None, True),
        (200, True, True, [(b"Content-Length", b"0")], BodyKind.NONE, 0, True),
        (200, True, True, [LENGTH], BodyKind.NONE, 5, False),
        (200, True, True, [CHUNKED], BodyKind.NONE, None, False),
    ],
)
def test_framing_follows_status_method_version_and_fields(
    status: int,
    http_1_1: bool,
    head: bool,
    fields: list[tuple[bytes, bytes]],
    kind: BodyKind,
    length: int | None,
    keep_alive: bool,
) -> None:
    framing = frame_answer(status, http_1_1, head, fields)
    assert (framing.kind, framing.length, framing.keep_alive) == (kind, length, keep_alive)
    assert framing.headers == []


@pytest.mark.parametrize(
    ("http_1_1", "fields"),
    [
        (True, [LENGTH, CHUNKED]),
        (True, [CHUNKED, LENGTH]),
        (True, [LENGTH, LENGTH]),
        (True, [LENGTH, (b"Content_Length", b"6")]),
        (True, [(b"Content-Length", b"5, 5")]),
        (True, [(b"Content-Length", b"+5")]),
        (True, [(b"Content-Length", b"0x5")]),
        (True, [(b"Content-Length", b"\xb2")]),
        (True, [(b"Content-Length", b"")]),
        (True, [(b"Content-Length", b"9" * 19)]),
        (True, [CHUNKED, CHUNKED]),
        (True, [(b"Transfer-Encoding", b"gzip, chunked")]),
        (True, [(b"Transfer-Encoding", b"chunked, identity")]),
        (True, [(b"Transfer-Encoding", b"identity")]),
        (True, [(b"Transfer-Encoding", b"xchunked")]),
        (False, [CHUNKED]),
    ],
)
@pytest.mark.parametrize("head", [False, True])
def test_framing_that_two_parsers_could_read_differently_is_refused(
    http_1_1: bool, fields: list[tuple[bytes, bytes]], head: bool
) -> None:
    with pytest.raises(ValueError, match=r"framing|Content-Length|Transfer-Encoding"):
        frame_answer(200, http_1_1, head, fields)


def test_naming_the_length_in_connection_does_not_change_the_framing() -> None:
    framing = frame_answer(
        200, True, False, [LENGTH, (b"Connection", b"content-length, x-a"), (b"X-A", b"1"), (b"X-B", b"2")]
    )
    assert (framing.kind, framing.length, framing.headers) == (BodyKind.LENGTH, 5, [(b"X-B", b"2")])
