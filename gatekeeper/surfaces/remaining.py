"""What an app behind another proxy gets of the client's own Cookie and Authorization. Called by ``surfaces.verify``.

Where the gate forwards, its cookies and tokens stay with it. Where another proxy forwards, it puts these fields of the
gate's 200 over the client's, so that the same holds there: Traefik, say, can cut no cookie out of a header itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatekeeper.inbound import Head, InboundRequest
from gatekeeper.inbound.head import MOST_REMEMBERED
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.upstream.headers import without_cookies
from policies.rules import Rule

_OWN: Final = frozenset(name.encode() for name in Cookies.EVER)

Fields = tuple[tuple[str, str], ...]


class Remaining:
    """``Cookie``, where the client sent one, less the gate's cookies, perhaps empty; ``Authorization`` only where the
    rule passes it on and it is no bearer token.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Head, bool], tuple[Fields, bytes]] = {}

    def fields(self, asked: InboundRequest, rule: Rule | None) -> Fields:
        """As fields."""
        return self._both(asked, rule)[0]

    def lines(self, asked: InboundRequest, rule: Rule | None) -> bytes:
        """As lines on the wire."""
        return self._both(asked, rule)[1]

    def _both(self, asked: InboundRequest, rule: Rule | None) -> tuple[Fields, bytes]:
        head, passing = asked.head, rule is not None and rule.pass_authorization
        known = None if head is None else self._known.get((head, passing))
        if known is not None:
            return known
        fields = _fields(asked, passing=passing)
        made = fields, b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
        if head is not None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[head, passing] = made
        return made


def _fields(asked: InboundRequest, *, passing: bool) -> Fields:
    cookies = [value for name, value in asked.raw_headers if name.lower() == b"cookie"]
    found: list[tuple[str, str]] = []
    if cookies:
        found.append(("Cookie", _text([without_cookies(value, _OWN) for value in cookies])))
    authorization = asked.headers.get("Authorization", "")
    if passing and authorization.partition(" ")[0].lower() != "bearer":
        found.append(("Authorization", _text([authorization.encode("utf-8", "surrogateescape")])))
    return tuple(found)


def _text(values: Sequence[bytes]) -> str:
    """One value; "" where it holds what no field of an answer may."""
    try:
        text = b"; ".join(filter(None, values)).decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""
