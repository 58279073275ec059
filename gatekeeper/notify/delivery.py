"""Empties the outbox: claims parcels, hands them to their channel, tries again at growing distance, gives up at last.

Every worker of every gate runs one. A parcel is claimed for a while (SKIP LOCKED), and taken out once a server has
it: at least once, never none. Each channel is emptied by a loop of its own, so that a receiver that hangs holds up no
mail. Built and run by ``gatekeeper.app``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import orjson

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.notify.messages import SendingFailed
from gatekeeper.notify.outbox import DECOY, EVENT, Parcel, unseal
from gatekeeper.tokens.sealing import Sealer

POLL: Final = 2.0  # seconds between looks when nobody said that there is something
LEASE: Final = 120.0  # seconds that a claimed parcel is left to whoever claimed it
BATCH: Final = 20
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 3600.0
_LONGEST_FAULT: Final = 300  # characters

_log = logging.getLogger("gatekeeper.notify")


class Waiting(Protocol):
    """The outbox as seen from its far end. Raises StoreUnavailable."""

    async def claim(
        self, count: int, *, now: float, until: float, channel: str | None = None, but: Sequence[str] = ()
    ) -> list[Parcel]:
        """Parcels that are due, theirs alone until ``until``; each claim is a try. Those of one ``channel``, or those
        of all ``but`` some.
        """

    async def done(self, parcel: Parcel) -> None: ...

    async def postpone(self, parcel: Parcel, due: float, fault: str) -> None: ...

    async def give_up(self, parcel: Parcel, fault: str, now: float, *, keep: bool) -> None:
        """That it failed, and why, stays; its content only if it is to be kept, for another try by hand."""


class Channel(Protocol):
    """One way out."""

    async def send(self, content: bytes, parcel: Parcel, now: float) -> None:
        """What the parcel holds, within a deadline of its own. Raises SendingFailed."""


def pause_after(tries: int) -> float:
    """Seconds until the next try: 5, 10, 20 ... an hour at most."""
    return min(_FIRST_PAUSE * 2.0 ** max(tries - 1, 0), _LONGEST_PAUSE)


class Delivery:
    """The loop. ``tries`` is after how many a parcel is given up; ``on_event`` hears (channel, event)."""

    def __init__(
        self,
        outbox: Waiting,
        sealer: Sealer,
        channels: Mapping[str, Channel],
        clock: Clock,
        *,
        tries: int,
        on_event: Callable[[str, str], None] = lambda _channel, _event: None,
    ) -> None:
        self._outbox = outbox
        self._sealer = sealer
        self._channels = channels
        self._clock = clock
        self._tries = tries
        self._on_event = on_event
        # None: decoys, and what channels of another configuration left.
        self._woken: dict[str | None, asyncio.Event] = {lane: asyncio.Event() for lane in (*channels, None)}

    def wake(self) -> None:
        """There is something in the box."""
        for event in self._woken.values():
            event.set()

    async def run(self) -> None:
        """For ever, until cancelled. What was claimed then comes back when its lease is over."""
        async with asyncio.TaskGroup() as lanes:
            for lane, woken in self._woken.items():
                lanes.create_task(self._run(lane, woken))

    async def _run(self, lane: str | None, woken: asyncio.Event) -> None:
        while True:
            woken.clear()
            try:
                full = await self._empty(lane)
            except StoreUnavailable as fault:
                _log.warning("the outbox cannot be read: %s", fault)
                full = False
            except Exception:  # noqa: BLE001 - one bad parcel must not end what all others need
                _log.exception("the outbox could not be emptied")
                full = False
            if not full:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await woken.wait()

    async def round(self) -> None:
        """Claim and send once on every channel. Raises StoreUnavailable."""
        for lane in self._woken:
            await self._empty(lane)

    async def _empty(self, lane: str | None) -> bool:
        """Claim and send once; whether there may be more. Raises StoreUnavailable."""
        now = self._clock.now()
        but = () if lane else tuple(self._channels)
        parcels = await self._outbox.claim(BATCH, now=now, until=now + LEASE, channel=lane, but=but)
        await self._send_all(parcels)
        return len(parcels) == BATCH

    async def _send_all(self, parcels: Sequence[Parcel]) -> None:
        results = await asyncio.gather(*(self._deliver(parcel) for parcel in parcels), return_exceptions=True)
        faults = [result for result in results if isinstance(result, BaseException)]
        if faults:
            raise faults[0]

    async def _deliver(self, parcel: Parcel) -> None:
        if parcel.channel == DECOY:
            await self._outbox.done(parcel)
            return
        channel = self._channels.get(parcel.channel)
        content = unseal(self._sealer, parcel)
        try:
            if channel is None:
                raise SendingFailed(f"{parcel.channel} is not configured (any more)", final=True)
            if parcel.tries > self._tries:  # it was claimed again and again, and whoever had it died
                raise SendingFailed("was tried too often without an end", final=True)
            if content is None:
                raise SendingFailed("was sealed under another secret", final=True)
            if self._clock.now() >= parcel.until:
                raise SendingFailed("is too late to be of use", final=True)
            async with asyncio.timeout(LEASE / 2):
                await channel.send(content, parcel, self._clock.now())
        except SendingFailed as fault:
            await self._failed(parcel, content, fault)
        except TimeoutError:
            await self._failed(parcel, content, SendingFailed("took too long"))
        except Exception as fault:  # noqa: BLE001 - see below
            # One that no channel can handle must neither come back for ever nor hold up what others wait for.
            _log.exception("a message could not be handled", extra={"channel": parcel.channel, "kind": parcel.kind})
            await self._failed(parcel, content, SendingFailed(f"could not be handled: {type(fault).__name__}"))
        else:
            self._on_event(parcel.channel, "sent")
            await self._outbox.done(parcel)

    async def _failed(self, parcel: Parcel, content: bytes | None, fault: SendingFailed) -> None:
        text = str(fault)[:_LONGEST_FAULT]
        now = self._clock.now()
        due = now + pause_after(parcel.tries)
        facts = {
            "channel": parcel.channel,
            "kind": parcel.kind,
            "to": _recipient(content) or parcel.address,
            "tries": parcel.tries,
        }
        if fault.final or parcel.tries >= self._tries or due >= parcel.until:
            self._on_event(parcel.channel, "given_up")
            _log.error("a message was given up: %s", text, extra=facts)
            useful = content is not None and now < parcel.until
            await self._outbox.give_up(parcel, text, now, keep=parcel.channel == EVENT or useful)
        else:
            self._on_event(parcel.channel, "postponed")
            _log.warning("a message could not be sent yet: %s", text, extra=facts)
            await self._outbox.postpone(parcel, due, text)


def _recipient(content: bytes | None) -> str | None:
    try:
        to: str | None = orjson.loads(content or b"{}").get("to")
    except (ValueError, AttributeError):  # its channel has said that it cannot read it
        return None
    return to
