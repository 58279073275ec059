"""One client, one target, as long as that is up. A surface asks for a ``Route`` and gives it to ``UpstreamPool.send``.

By a cookie, which survives a change of address, or by who the client is, which needs no cookie but moves some
clients when targets come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol

from gatekeeper.upstream.balance import by_hash
from gatekeeper.upstream.target import Target

_LONGEST_KEY = 64


class Route(Protocol):
    """Where one request should go. ``set_cookie`` is what the client must be told of where it went, once sent."""

    set_cookie: str | None

    def prefer(self, candidates: Sequence[Target]) -> Target | None:
        """The candidate that serves this client; None where any may."""

    def served_by(self, target: Target) -> None:
        """It was sent there."""


class Sticky(Protocol):
    """What ties clients to targets; ``cookie_names`` are kept from upstreams, which may not set them either."""

    cookie_names: frozenset[bytes]

    def route(self, client: str, cookie_fields: Iterable[str]) -> Route:
        """For a request of ``client`` (a user's id, or an address) with these Cookie fields."""


class ByClient:
    """By a hash of the client."""

    cookie_names: frozenset[bytes] = frozenset()

    def route(self, client: str, _cookie_fields: Iterable[str]) -> Route:
        return _ClientRoute(client.encode())


class _ClientRoute:
    __slots__ = ("_key", "set_cookie")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.set_cookie: str | None = None

    def prefer(self, candidates: Sequence[Target]) -> Target | None:
        return by_hash(self._key, candidates) if candidates else None

    def served_by(self, target: Target) -> None:
        """Nobody needs to be told."""


class ByCookie:
    """By a cookie that holds a keyed hash of the target: it tells nobody which server that is.

    ``key`` is secret and the same on all nodes, ``secure`` says that clients come by https.
    """

    def __init__(self, upstream: str, key: bytes, *, secure: bool) -> None:
        plain = f"gate-route-{upstream}"
        self.cookie_names = frozenset({plain.encode(), f"__Host-{plain}".encode()})
        self._name = f"__Host-{plain}" if secure else plain
        self._upstream = upstream
        self._key = blake2b(key, digest_size=_LONGEST_KEY).digest()
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._tags: dict[str, str] = {}

    def route(self, _client: str, cookie_fields: Iterable[str]) -> Route:
        return _CookieRoute(self, self._read(cookie_fields))

    def tag(self, target: Target) -> str:
        """The cookie's value for a target."""
        tag = self._tags.get(target.name)
        if tag is None:
            text = f"{self._upstream}\0{target.name}".encode()
            tag = self._tags[target.name] = blake2b(text, digest_size=16, key=self._key).hexdigest()
        return tag

    def cookie(self, tag: str) -> str:
        """Set-Cookie for a tag; it lasts as long as the browser is open."""
        return f"{self._name}={tag}{self._attributes}"

    def _read(self, cookie_fields: Iterable[str]) -> str | None:
        for cookie_field in cookie_fields:
            if self._name not in cookie_field:
                continue
            for part in cookie_field.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self._name:
                    return value
        return None


class _CookieRoute:
    __slots__ = ("_tag", "_tied", "set_cookie")

    def __init__(self, tied: ByCookie, tag: str | None) -> None:
        self._tied = tied
        self._tag = tag
        self.set_cookie: str | None = None

    def prefer(self, candidates: Sequence[Target]) -> Target | None:
        if self._tag is None:
            return None
        return next((target for target in candidates if self._tied.tag(target) == self._tag), None)

    def served_by(self, target: Target) -> None:
        tag = self._tied.tag(target)
        self.set_cookie = None if tag == self._tag else self._tied.cookie(tag)
