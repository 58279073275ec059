"""The outbox: messages wait in PostgreSQL until a server has taken them, so that a crash loses none.

``Notifier`` is what identity calls; ``delivery`` empties the box. Bodies are sealed, since codes and links are in
them. Where nobody is to be told, a decoy of the same size is put in, so that the answer takes as long (security 15).
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gatekeeper.notify.console import Console
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.tokens.sealing import Sealer

DECOY = "none"  # the channel of a message that goes nowhere
EVENT = "event"  # the channel of an event for a webhook (gatekeeper.events); what the parcel holds is its body
_ROUND = 256  # bytes: sealed messages come in steps of this size, so that theirs says little


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for one channel at rest. ``address`` is a webhook's URL, ``recipient`` says to whom as ``masked``
    does; times in Unix seconds.
    """

    id: uuid.UUID
    channel: str
    kind: str
    sealed: bytes = field(repr=False)
    until: float
    address: str = ""
    recipient: str = ""
    tries: int = 0


class Outbox(Protocol):
    """Where parcels wait. Raises StoreUnavailable."""

    async def put(self, parcels: Sequence[Parcel], now: float) -> None:
        """All or none."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Which way messages go. ``hooks`` are the URLs of webhooks by the kind they listen to."""

    codes: tuple[str, ...]
    others: tuple[str, ...]
    hooks: dict[str, tuple[str, ...]]

    def of(self, kind: Kind) -> tuple[str, ...]:
        """The channels of a kind. What proves an e-mail address can only go by mail, where there is one."""
        return self.codes if kind is Kind.OTP else self.others


class Notifier:
    """Takes messages. ``wake`` is called when something was put into the outbox."""

    def __init__(self, outbox: Outbox, sealer: Sealer, routes: Routes, console: Console) -> None:
        self._outbox = outbox
        self._sealer = sealer
        self._routes = routes
        self._console = console
        self.wake: Callable[[], None] = _nobody_waits

    async def send(self, message: Message, now: float, *, decoy: bool = False) -> None:
        """See that it arrives; a ``decoy`` takes the same way and arrives nowhere. Raises StoreUnavailable."""
        parcels = []
        for channel in self._routes.of(message.kind):
            if channel == "console":
                if not decoy:
                    self._console.show(message)
                continue
            addresses = self._routes.hooks.get(message.kind, ()) if channel == "webhook" else ("",)
            parcels += [self._parcel(message, DECOY if decoy else channel, address) for address in addresses]
        if parcels:
            await self._outbox.put(parcels, now)
            self.wake()

    def _parcel(self, message: Message, channel: str, address: str) -> Parcel:
        key = uuid.UUID(bytes=secrets.token_bytes(16), version=4)
        return Parcel(
            key,
            channel,
            message.kind,
            seal(self._sealer, message, key),
            message.until,
            address,
            masked(message.to),
        )


def _nobody_waits() -> None:
    """Until a delivery is there to be woken; it looks by itself too."""


def masked(address: str) -> str:
    """An e-mail as it may be shown beside what it was sent: ``a…@example.com``."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1] if len(local) > 1 else ''}…@{domain}"


def seal(sealer: Sealer, message: Message, key: uuid.UUID) -> bytes:
    """The message at rest."""
    plain = message.dump()
    return sealer.seal(plain + b" " * (-len(plain) % _ROUND), str(key))


def unseal(sealer: Sealer, parcel: Parcel) -> bytes | None:
    """What a parcel holds (``Message.dump``, or an event); None where another secret sealed it."""
    return sealer.open(parcel.sealed, str(parcel.id))
