"""Where to go after a login: the only judge of ``next``. Called by the login page.

A browser resolves a Location by the WHATWG URL rules, which forgive much (backslashes, tabs, missing slashes), so
nothing is parsed and repaired here: a text either has one of two plain forms, which those rules cannot read as
another origin, or it is not used (security 21).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit

HOME: Final = "/"
LONGEST: Final = 4096  # characters; a longer address is not worth a return
_SEGMENT = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?!5[Cc]|[01]|7[Ff])[0-9A-Fa-f]{2})+"  # RFC 3986, less \ and controls
_REST = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]{}|^-]|%[0-9A-Fa-f]{2})*"  # a query or fragment as browsers send it
_PATH = re.compile(rf"/(?!%2[Ff])(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?(?:\?{_REST})?(?:#{_REST})?")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?=[/?#]|$)")
_ABSOLUTE = re.compile(r"(https?://[A-Za-z0-9.:\[\]-]+)(.*)", re.DOTALL)


def safe_next(text: str | None, origins: frozenset[str]) -> str:
    """``text`` where it is a path of this origin or an address of a listed one, else ``/``.

    ``origins`` are spelt as browsers do: scheme, lower-case host, a port only where it is not the scheme's own.
    """
    if text is None or len(text) > LONGEST:
        return HOME
    if text.startswith("/"):
        return text if _usable(text) else HOME
    absolute = _ABSOLUTE.fullmatch(text)
    if absolute is None or absolute[1] not in origins:
        return HOME
    path = absolute[2] or HOME
    return absolute[1] + path if _usable(path) else HOME


def with_next(page: str, target: str) -> str:
    """The address of ``page`` that leads on to ``target``, which ``safe_next`` returned."""
    return page if target == HOME else f"{page}?next={quote(target, safe='')}"


def origin_of(target: str) -> str | None:
    """The origin of what ``safe_next`` returned; None for a path."""
    absolute = _ABSOLUTE.fullmatch(target)
    return absolute[1] if absolute else None


def origins_of(public_url: str, hosts: Iterable[str]) -> frozenset[str]:
    """The origins that ``next`` may name: ``public_url``'s and, under its scheme, every host without a wildcard."""
    parts = urlsplit(public_url)
    names = [parts.netloc, *(host for host in hosts if "*" not in host)]
    own_port = ":443" if parts.scheme == "https" else ":80"
    return frozenset(f"{parts.scheme}://{name.lower().removesuffix(own_port)}" for name in names)


def _usable(path: str) -> bool:
    return _PATH.fullmatch(path) is not None and _DOT_SEGMENT.search(path.partition("?")[0].partition("#")[0]) is None
