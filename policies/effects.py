"""What a rule does to the requests that it admits, beyond forwarding them.

Compiled by ``policies.load``; carried out by ``gatekeeper.surfaces``.
A rule that does nothing of the kind has none, and costs the forward path one comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

from policies.cors import Cors

Lines = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Another path for the upstream. ``strip`` is what every path of the rule begins with, in whole segments."""

    strip: str = ""
    add: str = ""

    def path(self, path: str) -> str:
        """The new path of a canonical one."""
        return f"{self.add}{path[len(self.strip) :]}" or "/"


@dataclass(frozen=True, slots=True, eq=False)
class FieldChanges:
    """Header fields that are taken away (by canonical name: lower case, ``-`` for ``_``) and put in their place."""

    removed: frozenset[bytes]
    put: Lines = ()


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """``timeout`` in seconds, from the end of a request to the head of its answer; ``body`` in bytes.

    ``lacking`` are fields that an answer gets unless it has one of that name.
    """

    rewrite: Rewrite | None = None
    request: FieldChanges | None = None
    response: FieldChanges | None = None
    lacking: Lines = ()
    cors: Cors | None = None
    timeout: float | None = None
    body: int | None = None
