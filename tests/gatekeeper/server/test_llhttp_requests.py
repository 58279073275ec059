"""Every request of llhttp's own test suite over a socket (tests/data/llhttp, MIT): strict verdicts decide."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from llhttp import AFTER_CLOSE, CASES, GOOD, LENIENT, MUST_FAIL, is_upgrade, titled, variants


def test_the_corpus_is_whole() -> None:
    assert len(CASES) == 166
    assert len(MUST_FAIL) == 65


async def _refused_whole(served: Any, raw: bytes) -> None:
    answer = await served.ask(raw, b"\r\n\r\n")
    for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3})", answer):
        assert 400 <= int(status) <= 599, answer
        assert status != b"500", answer
    assert b"HTTP/1.1 2" not in answer


@pytest.mark.parametrize("case", **titled([case for case in MUST_FAIL if not is_upgrade(case)]))
async def test_what_must_fail_is_refused_and_reaches_no_handler(case: dict[str, Any], serve: Any) -> None:
    """security 28: 4xx, 5xx but 500, or closed; the next connection works."""
    served = await serve()
    for raw in variants(case):
        await _refused_whole(served, raw)
        assert served.seen == []
        assert (await served.ask(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 200"
        )
        assert served.seen == ["GET /next"]
        served.seen.clear()


@pytest.mark.parametrize("case", **titled([case for case in MUST_FAIL if not is_upgrade(case)]))
async def test_what_must_fail_completes_no_request_when_it_comes_in_pieces(case: dict[str, Any], serve: Any) -> None:
    """security 28. A handler may have begun when a body goes wrong; it never gets the body to its end."""
    served = await serve()
    for raw in variants(case):
        await served.ask(*(raw[at : at + 7] for at in range(0, len(raw), 7)), b"\r\n\r\n")
        if case["error_code"] == AFTER_CLOSE:  # the first message may be served, the second not
            assert len(served.bodies) <= 1
            assert all("GET" not in seen for seen in served.seen)
        else:
            assert served.bodies == []
        served.seen.clear()
        served.bodies.clear()


@pytest.mark.parametrize("case", **titled([case for case in MUST_FAIL if is_upgrade(case)]))
async def test_nothing_behind_an_upgrade_is_taken_for_a_request(case: dict[str, Any], serve: Any) -> None:
    served = await serve()
    for raw in variants(case):
        answer = await served.ask(raw, b"\r\n\r\nGET /hidden HTTP/1.1 x\r\n\r\n")
        assert len(served.seen) <= 1
        assert all(int(status) in {200, 400, 501} for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3})", answer))
        served.seen.clear()


async def test_what_only_a_lenient_parser_takes_never_fails_inside(serve: Any) -> None:
    served = await serve(idle=2.0, head=2.0, body_idle=2.0)
    answers = await asyncio.gather(*(served.ask(raw, b"\r\n\r\n") for case in LENIENT for raw in variants(case)))
    assert [answer for answer in answers if b" 500 " in answer] == []


async def test_good_messages_never_fail_inside_and_many_are_served(serve: Any) -> None:
    """The tests above would pass on a server that refuses everything. (Not all: the corpus has odd methods.)"""
    served = await serve(idle=2.0, head=2.0, body_idle=2.0)
    answers = await asyncio.gather(*(served.ask(raw, b"\r\n\r\n") for case in GOOD for raw in variants(case)))
    assert [answer for answer in answers if b" 500 " in answer] == []
    assert sum(answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")) for answer in answers) >= 20
