"""Bodies in gzip (RFC 1952) for whoever takes it. Used by ``pages.assets`` for static files and by ``admin.render``."""

from __future__ import annotations

import gzip
from typing import Final

from multidict import CIMultiDictProxy

QUICK: Final = 4  # for a page that is made for one answer
BEST: Final = 9
_LEAST: Final = 860  # bytes; below, what is saved is in one packet anyway


def takes_gzip(headers: CIMultiDictProxy[str]) -> bool:
    """Whether Accept-Encoding names gzip, or everything, with a weight above nothing (RFC 9110 12.5.3)."""
    weights: dict[str, bool] = {}
    for element in ",".join(headers.getall("Accept-Encoding", [])).split(","):
        coding, *parameters = (part.strip().lower() for part in element.split(";"))
        weights[coding] = not any(_is_nothing(parameter) for parameter in parameters)
    return weights.get("gzip", weights.get("*", False))


def gzipped(body: bytes, level: int) -> bytes | None:
    """The same, smaller; None where that is not worth it."""
    if len(body) < _LEAST:
        return None
    small = gzip.compress(body, level, mtime=0)
    return small if len(small) < len(body) else None


def _is_nothing(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip(" 0.") == ""
