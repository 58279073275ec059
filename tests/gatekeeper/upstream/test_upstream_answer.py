"""Reading answers: the same bytes mean the same however they are cut, and nothing after an answer is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.upstream.answer import MAX_FIELDS, MAX_HEAD, AnswerReader, BadAnswer

CASES = json.loads((Path(__file__).parents[2] / "data/llhttp/responses.json").read_text())
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def body_of(reader: AnswerReader) -> bytes:
    assert reader.response is not None
    reader.response.end()
    return await reader.response.read()


def read(*pieces: bytes, asked_head: bool = False) -> AnswerReader:
    reader = AnswerReader(asked_head=asked_head)
    for piece in pieces:
        reader.feed(piece)
    return reader


def verdict(pieces: list[bytes], *, asked_head: bool = False) -> object:
    """What became of the pieces, comparable: refused, or the answer so far."""
    reader = AnswerReader(asked_head=asked_head)
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
    except BadAnswer:
        return "refused"
    response = reader.response
    if response is None:
        return "no answer yet"
    body = b"".join(response._parts)
    return (
        response.status,
        response.reason,
        response.headers,
        response.content_length,
        body,
        reader.done,
        reader.keep_alive,
    )


GOOD = [
    (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    (OK + b"Content-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b""),
    (CHUNKED + b"0\r\n\r\n", b""),
    (CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", b"hello world"),
    (CHUNKED + b"5\r\nhello\r\n0\r\nX-Gate-User: evil\r\nConnection: close\r\n\r\n", b"hello"),
    (CHUNKED + b"A\r\n0123\r\n\r\n89\r\n0\r\n\r\n", b"0123\r\n\r\n89"),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
    ),
]


@pytest.mark.parametrize(("raw", "body"), GOOD)
async def test_a_complete_answer_is_read_and_the_connection_stays(raw: bytes, body: bytes) -> None:
    reader = read(raw)
    assert reader.done
    assert reader.keep_alive
    assert await body_of(reader) == body


@pytest.mark.parametrize(("raw", "body"), GOOD)
@pytest.mark.parametrize(
    "extra", [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"x", b"\0", OK, OK + b"Content-Length: 0\r\n\r\n"]
)
@pytest.mark.parametrize("apart", [False, True])
async def test_bytes_after_an_answer_end_the_connection_and_never_become_an_answer(
    raw: bytes, body: bytes, extra: bytes, apart: bool
) -> None:
    """security 4: response smuggling."""
    reader = read(raw, extra) if apart else read(raw + extra)
    assert reader.done
    assert not reader.keep_alive
    assert await body_of(reader) == body


@pytest.mark.parametrize("split", range(1, 12))
def test_an_empty_line_split_off_from_the_last_chunk_is_seen_as_extra(split: int) -> None:
    raw = CHUNKED + b"1\r\na\r\n0\r\n\r\n\r\n"
    reader = read(raw[:-split], raw[-split:])
    assert reader.done
    assert not reader.keep_alive


@given(st.data())
def test_the_verdict_does_not_depend_on_how_the_bytes_are_cut(data: st.DataObject) -> None:
    raws = [raw for raw, _ in GOOD] + [case["raw_latin1"].encode("latin-1") for case in CASES]
    raw = data.draw(st.sampled_from(raws)) + data.draw(st.sampled_from([b"", b"\r\n", b"x", OK + b"\r\n"]))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if b > a]
    whole, parts = verdict([raw]), verdict(pieces)
    if whole == "refused" and parts != "refused":
        # A broken chunk after good ones: what came before it may have been taken already, but it is never done.
        pytest.fail(f"{raw!r} is refused whole but read as {parts!r} in pieces")
    assert parts == whole


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"].replace(" ", "-"))
def test_llhttps_own_cases_are_refused_where_it_refuses_them(case: dict[str, str]) -> None:
    if case["ok"]:
        verdict([case["raw_latin1"].encode("latin-1")])  # may be stricter, but raises nothing else
        return
    try:
        reader = read(case["raw_latin1"].encode("latin-1"))
    except BadAnswer:
        return
    assert case["error"] == "Data after `Connection: close`"
    assert not reader.keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 \x1b[31m\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        OK + b"A: b\n\r\n",
        OK + b"A: b\r\n\n",
        OK + b"A: b\r\n c\r\n\r\n",
        OK + b" A: b\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b"A\r\n\r\n",
        OK + b": b\r\n\r\n",
        OK + b"A: b\0c\r\n\r\n",
        OK + b"A: b\rc\r\n\r\n",
        OK + b"A\0: b\r\n\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        OK + b"Content-Length: 5, 6\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 999 x\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n",
        CHUNKED + b"5 \r\nhello\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"fffffffffffffffff\r\nhello\r\n",
        CHUNKED + b"0\r\nBad Trailer: x\r\n\r\n",
        CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_no_clean_answer_is_refused(raw: bytes, size: int) -> None:
    with pytest.raises(BadAnswer):
        read(*[raw[start : start + size] for start in range(0, len(raw), size)])


@pytest.mark.parametrize("step", [1 << 20, 1000])
def test_a_head_without_end_is_refused_once_it_is_too_large(step: int) -> None:
    raw = OK + b"A: " + b"x" * MAX_HEAD
    with pytest.raises(BadAnswer, match="too large"):
        read(*[raw[start : start + step] for start in range(0, len(raw), step)])


def test_interim_answers_without_end_are_refused() -> None:
    with pytest.raises(BadAnswer, match="too large"):
        read(*[b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"] * 10_000)


def test_more_fields_than_any_honest_answer_has_are_refused() -> None:
    read(OK + b"A: b\r\n" * MAX_FIELDS + b"\r\n")
    with pytest.raises(BadAnswer):
        read(OK + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n")


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"Y" * 50])
def test_trailers_without_end_are_refused(endless: bytes) -> None:
    with pytest.raises(BadAnswer, match="without end"):
        read(CHUNKED + b"1\r\na\r\n0\r\n", *[endless] * 20_000)


def test_a_chunk_extension_without_end_is_refused() -> None:
    with pytest.raises(BadAnswer, match="without end"):
        read(CHUNKED + b"1;", *[b"a" * 50] * 20_000)


def test_many_small_chunks_are_no_overhead_without_end() -> None:
    reader = read(CHUNKED, *[b"1\r\na\r\n"] * 50_000, b"0\r\n\r\n")
    assert reader.done
    assert reader.keep_alive


@pytest.mark.parametrize("asked_head", [False, True])
@pytest.mark.parametrize("status", [b"200", b"204", b"304"])
def test_a_body_where_none_may_be_is_never_read_as_one(asked_head: bool, status: bytes) -> None:
    if status == b"200" and not asked_head:
        return
    reader = read(
        b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\n" % status, b"HTTP/1.1 200 OK\r\n\r\n", asked_head=asked_head
    )
    assert reader.done
    assert not reader.keep_alive
    assert reader.response is not None
    assert (reader.response.content_length, reader.response.buffered) == (5, 0)


@pytest.mark.parametrize(
    ("raw", "proper"),
    [
        (OK + b"\r\n", True),
        (OK + b"\r\nbody", True),
        (b"HTTP/1.0 200 OK\r\n\r\nbody", True),
        (OK + b"Content-Length: 5\r\n\r\nhell", False),
        (OK + b"Content-Length: 5\r\n\r\n", False),
        (CHUNKED, False),
        (CHUNKED + b"5\r\nhello\r\n", False),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", False),
        (OK, False),
        (b"", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
    ],
)
def test_the_end_of_the_stream_ends_only_a_body_without_other_framing(raw: bytes, proper: bool) -> None:
    """security 4: a truncated upstream body never looks complete."""
    reader = read(raw)
    assert reader.end_of_stream() is proper
    assert not reader.keep_alive
