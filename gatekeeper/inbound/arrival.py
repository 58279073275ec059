"""How a connection came in. Made by ``server.accept`` once a connection, read by ``inbound.request``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """The text of the ``peer``'s address ("" where it has none, a unix socket) and the listener's own ``scheme``.

    The peer is the socket's other end or, behind the Proxy Protocol, whom a trusted proxy names there. ``believed``
    is False where such a proxy cannot say who its client is: what then comes in X-Forwarded-* may be the client's.
    ``scheme`` None: what clients use to reach ``public_url``.
    """

    peer: str
    scheme: str | None = None
    believed: bool = True


NOWHERE = Arrival("")
