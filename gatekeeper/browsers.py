"""Is this a person in a browser? Asked by surfaces, pages and admin before they answer with a page or a redirect."""

from __future__ import annotations

from collections.abc import Mapping

_SEC_FETCH = ("Sec-Fetch-Site", "Sec-Fetch-Dest", "Sec-Fetch-User")


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Whether a browser navigates: ``Sec-Fetch-Mode: navigate``; in browsers that send no Sec-Fetch fields, an
    ``Accept`` that names text/html (not ``*/*``) and no ``X-Requested-With``.

    ``headers`` must find names in any case, as aiohttp's do.
    """
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode.strip().lower() == "navigate"
    if any(name in headers for name in _SEC_FETCH) or "X-Requested-With" in headers:
        return False
    return any(_media_type(part) == "text/html" for part in headers.get("Accept", "").split(","))


def _media_type(part: str) -> str:
    return part.partition(";")[0].strip().lower()
