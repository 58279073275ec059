"""Events for webhooks: one parcel a receiver in the outbox, from where ``notify.delivery`` sends them.

``EventHooks`` is the channel that does the sending, in the Standard Webhooks form (``notify.webhook``). Every try, and
every receiver, gets the same id, so that whoever is told twice can know.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from gatekeeper.clock import Clock
from gatekeeper.events.event import Event
from gatekeeper.events.names import Wanted
from gatekeeper.notify.messages import SendingFailed
from gatekeeper.notify.outbox import EVENT, Outbox, Parcel
from gatekeeper.notify.webhook import Webhooks
from gatekeeper.tokens.sealing import Sealer

_SPARED: Final = 5.0  # seconds in which a receiver that failed is not tried again
WORTH: Final = 3 * 86_400.0  # seconds that an event is worth telling


class EventParcels:
    """A receiver of ``events.hub``; ``wanted`` by the URLs of the webhooks. ``wake`` is called when there is
    something to deliver.
    """

    def __init__(self, outbox: Outbox, sealer: Sealer, wanted: Mapping[str, Wanted], clock: Clock) -> None:
        self._outbox = outbox
        self._sealer = sealer
        self._wanted = dict(wanted)
        self._clock = clock
        self.wake: Callable[[], None] = _nobody_waits

    async def take(self, events: Sequence[Event]) -> None:
        """Put what somebody wants into the outbox. Raises StoreUnavailable."""
        parcels = [
            self._parcel(event, url) for event in events for url, wanted in self._wanted.items() if event.type in wanted
        ]
        if parcels:
            await self._outbox.put(parcels, self._clock.now())
            self.wake()

    def _parcel(self, event: Event, url: str) -> Parcel:
        key = uuid.uuid4()
        sealed = self._sealer.seal(event.dump(), str(key))
        return Parcel(key, EVENT, event.type, sealed, event.time + WORTH, url)


class EventHooks:
    """The channel of event parcels (``notify.delivery.Channel``)."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._spared: dict[str, float] = {}

    async def send(self, content: bytes, parcel: Parcel, now: float) -> None:
        """One POST; a receiver that failed is left alone for a moment, so that it holds up no other.

        Raises SendingFailed.
        """
        if now < self._spared.get(parcel.address, 0):
            raise SendingFailed("another event could not be sent there a moment ago")
        try:
            await self._webhooks.post(parcel.address, orjson.loads(content)["id"], content, now)
        except SendingFailed:
            self._spared[parcel.address] = now + _SPARED
            raise


def _nobody_waits() -> None:
    """Until a delivery is there to be woken; it looks by itself too."""
