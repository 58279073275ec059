"""gatekeeper/pages/compression.py: who gets gzip, and what for (RFC 9110 12.5.3)."""

from __future__ import annotations

import gzip
from random import Random

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.pages.compression import BEST, QUICK, gzipped, takes_gzip


def takes(*values: str) -> bool:
    """Whether fields with these values ask for it."""
    return takes_gzip(CIMultiDictProxy(CIMultiDict([("Accept-Encoding", value) for value in values])))


@pytest.mark.parametrize(
    "values",
    [("gzip",), ("GZip",), ("br, gzip;q=0.5",), ("br", "gzip"), ("*",), ("gzip; q = 0.001",), ("*;q=0, gzip",)],
)
def test_gzip_is_for_whoever_names_it_or_everything(values):
    assert takes(*values)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("br, deflate",),
        ("gzip;q=0",),
        ("gzip; q=0.000",),
        ("*, gzip;q=0",),
        ("*;q=0",),
        ("xgzip",),
        (";;q",),
    ],
)
def test_nobody_else_gets_it(values):
    assert not takes(*values)


@pytest.mark.parametrize("level", [QUICK, BEST])
def test_a_body_comes_back_as_it_was(level):
    body = b"<p>the same again</p>" * 100
    small = gzipped(body, level)
    assert len(small) < len(body) / 10
    assert gzip.decompress(small) == body
    assert gzipped(body, level) == small  # two workers send the same


def test_what_would_not_be_smaller_stays_as_it_is():
    assert gzipped(b"short", BEST) is None
    assert gzipped(Random(1).randbytes(5000), BEST) is None
