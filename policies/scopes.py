"""Scopes of API keys: names that rules admit by (``allow: {scopes: [...]}``), and paths on which a key is its owner.

Read by ``gatekeeper.tokens.api_keys`` from a key's record and by ``gatekeeper explain``; bounded, so that whatever a
key holds costs a request little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.globs import Glob, parse_glob, split_path
from policies.read import METHODS

ADMIN_READ: Final = "admin:read"
ADMIN_ACT: Final = "admin:act"
#: What admins' keys may do with the panel's calls.
ADMIN_SCOPES: Final = frozenset({ADMIN_READ, ADMIN_ACT})
#: What keys may do with the gate's own calls; an admin gives them.
RESERVED: Final = frozenset({"introspect", "revoke", *ADMIN_SCOPES})
MOST: Final = 32
LONGEST: Final = 200

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True, slots=True)
class PathScope:
    """A path, or a method and a path, on which a key may do what its owner may; HEAD follows GET."""

    methods: frozenset[str] | None
    glob: Glob

    def takes(self, method: str, segments: Sequence[str]) -> bool:
        return (self.methods is None or method in self.methods) and self.glob.matches(segments)


@dataclass(frozen=True, slots=True)
class Scopes:
    """All scopes of one key, as ``texts`` too. Each grants something of its own: none narrows another."""

    names: frozenset[str] = frozenset()
    paths: tuple[PathScope, ...] = ()
    texts: tuple[str, ...] = ()

    def as_owner(self, method: str, path: str) -> bool:
        """Whether the key stands for its owner on a canonical path."""
        if not self.paths:
            return False
        segments = split_path(path)
        return any(scope.takes(method, segments) for scope in self.paths)


def check_name(text: str) -> str:
    """The name of a scope as it is. Raises ValueError."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("a scope is a name of 1 to 64 letters, digits and any of _ . : -")
    return text


def parse_scope(text: str) -> str | PathScope:
    """A name, or a path such as ``/reports/**`` or ``GET /reports/**``. Raises ValueError, in words for its author."""
    if len(text) > LONGEST:
        raise ValueError(f"a scope has at most {LONGEST} characters")
    method, blank, path = text.rpartition(" ")
    if not path.startswith("/"):
        if blank:
            raise ValueError("a path scope is a path, or a method and a path: GET /reports/**")
        return check_name(text)
    if blank and method not in METHODS:
        raise ValueError(f"{method!r} is no method; known are {', '.join(METHODS)}")
    methods = None
    if blank:
        methods = frozenset({"GET", "HEAD"} if method == "GET" else {method})
    return PathScope(methods, parse_glob(path))


def parse_scopes(texts: Sequence[str]) -> Scopes:
    """All of them. Raises ValueError."""
    if len(texts) > MOST:
        raise ValueError(f"a key has at most {MOST} scopes")
    found = [parse_scope(text) for text in texts]
    return Scopes(
        frozenset(scope for scope in found if isinstance(scope, str)),
        tuple(scope for scope in found if not isinstance(scope, str)),
        tuple(texts),
    )
