"""Cross-origin resource sharing (the Fetch standard, 3.2): which other origins may call, and the fields that say so.

Compiled by ``policies.effects`` for rules and by ``gatekeeper.app`` for the gate's own API; used by the surfaces and,
where cookies come along, by ``gatekeeper.gate``. Credentials are never allowed to every origin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

EVERY: Final = "*"
VARY: Final = "Origin"
PREFLIGHT_VARY: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<below>\*\.)?(?P<host>\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*)(?P<port>:[1-9][0-9]{{0,4}})?"
)
_USUAL_PORT: Final = {"http": ":80", "https": ":443"}
_TOKENS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?: *, *[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_LONGEST_LIST: Final = 1024


@dataclass(frozen=True, slots=True)
class OriginBelow:
    """Every origin of one scheme and port whose host lies below ``suffix`` (which begins with a dot)."""

    scheme: str
    suffix: str

    def takes(self, origin: str) -> bool:
        begin = f"{self.scheme}://"
        host = origin.removeprefix(begin)
        if host == origin or not host.endswith(self.suffix):
            return False
        return re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", host[: -len(self.suffix)]) is not None


@dataclass(frozen=True, slots=True)
class Cors:
    """What one rule says. ``headers`` None: whichever are asked for; ``max_age`` in seconds."""

    origins: frozenset[str]
    below: tuple[OriginBelow, ...] = ()
    every: bool = False
    methods: frozenset[str] = frozenset()
    headers: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 600

    def admits(self, origin: str) -> bool:
        """Whether pages of this origin may read the answers."""
        return self.every or origin in self.origins or any(wide.takes(origin) for wide in self.below)

    def answer_fields(self, origin: str | None) -> list[tuple[str, str]]:
        """For an answer to a request of this origin (None: it names none)."""
        if origin is None or not self.admits(origin):
            return [] if self.every else [("Vary", VARY)]
        fields = self._allowed(origin)
        if self.expose:
            fields.append(("Access-Control-Expose-Headers", ", ".join(self.expose)))
        return fields

    def preflight_fields(self, origin: str, method: str, headers: str | None) -> list[tuple[str, str]] | None:
        """For the answer to a preflight; None where the request that it asks about is not to be made."""
        if not self.admits(origin) or method not in self.methods:
            return None
        allowed = headers if self.headers is None else ", ".join(self.headers)
        if allowed is not None and (len(allowed) > _LONGEST_LIST or not _TOKENS.fullmatch(allowed)):
            allowed = None
        fields = [field for field in self._allowed(origin) if field[0] != "Vary"]
        fields += [("Vary", PREFLIGHT_VARY), ("Access-Control-Allow-Methods", ", ".join(sorted(self.methods)))]
        if allowed:
            fields.append(("Access-Control-Allow-Headers", allowed))
        return [*fields, ("Access-Control-Max-Age", str(self.max_age))]

    def _allowed(self, origin: str) -> list[tuple[str, str]]:
        if self.every:
            return [("Access-Control-Allow-Origin", EVERY)]
        fields = [("Access-Control-Allow-Origin", origin), ("Vary", VARY)]
        if self.credentials:
            fields.append(("Access-Control-Allow-Credentials", "true"))
        return fields


def parse_origins(texts: Sequence[str]) -> tuple[frozenset[str], tuple[OriginBelow, ...], bool]:
    """Exact origins, those below a host, and whether every one is meant. Raises ValueError in plain words."""
    exact: set[str] = set()
    below: list[OriginBelow] = []
    for text in texts:
        if text == EVERY:
            continue
        match = _ORIGIN.fullmatch(text)
        if match is None or (match["port"] and int(match["port"][1:]) > 65535):
            raise ValueError(f"{text!r}: an origin such as https://app.example.org or https://*.example.org is needed")
        if match["port"] == _USUAL_PORT[match["scheme"]]:
            raise ValueError(f"{text!r}: leave the usual port out, as browsers do")
        if match["below"]:
            below.append(OriginBelow(match["scheme"], f".{match['host']}{match['port'] or ''}"))
        else:
            exact.add(text)
    every = EVERY in texts
    if every and len(texts) > 1:
        raise ValueError("* is every origin: leave the others out")
    return frozenset(exact), tuple(below), every
