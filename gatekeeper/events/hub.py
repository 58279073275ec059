"""Takes events from where they happen and hands them to every receiver, off the way of the request.

``publish`` never waits and never fails. Each receiver has a queue of its own, so that one that is away holds up no
other; it keeps ``MOST_WAITING`` events, then the oldest go, counted and logged. Built and run by ``gatekeeper.app``.

What a worker has not handed over when it is killed, some milliseconds' worth, is lost here; the login log and the
audit log have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gatekeeper.errors import StoreUnavailable
from gatekeeper.events.event import Event, of_attempt, of_change
from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.audit import Change

MOST_WAITING: Final = 10_000
BATCH: Final = 500
_LONGEST_PAUSE: Final = 10.0
_FIRST_PAUSE: Final = 0.2
_DEADLINE: Final = 30.0  # seconds for one batch

_log = logging.getLogger("gatekeeper.events")


class Undelivered(Exception):  # it is one outcome of many
    """A receiver did not take the events; ``str()`` says why in one line."""


class Receiver(Protocol):
    """One who is told."""

    async def take(self, events: Sequence[Event]) -> None:
        """All or, as far as it can be helped, none. Raises Undelivered or StoreUnavailable: then they come again."""


class Hub:
    """``receivers`` by name; ``on_event`` hears (name, sent | dropped) for each event."""

    def __init__(
        self, receivers: Mapping[str, Receiver], on_event: Callable[[str, str, int], None] = lambda *_: None
    ) -> None:
        self._queues = [_Queue(name, receiver, on_event) for name, receiver in receivers.items()]

    def publish(self, *events: Event) -> None:
        """Tell everybody, some time soon."""
        for queue in self._queues:
            queue.put(events)

    def changed(self, change: Change) -> None:
        """Tell of an entry of the audit log."""
        self.publish(of_change(change))

    def attempted(self, attempt: Attempt) -> None:
        """Tell of an attempt to sign in, as it is kept in the login log."""
        self.publish(*of_attempt(attempt))

    async def run(self) -> None:
        """Hand over for ever, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(queue.run())

    async def flush(self, patience: float) -> None:
        """Hand over what waits, for at most ``patience`` seconds. When ``run`` has ended, or never began."""
        tasks = [asyncio.create_task(queue.flush()) for queue in self._queues]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Queue:
    def __init__(self, name: str, receiver: Receiver, on_event: Callable[[str, str, int], None]) -> None:
        self._name = name
        self._receiver = receiver
        self._on_event = on_event
        self._waiting: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._away = False

    def put(self, events: Sequence[Event]) -> None:
        self._waiting.extend(events)
        dropped = max(len(self._waiting) - MOST_WAITING, 0)
        for _ in range(dropped):
            self._waiting.popleft()
        if dropped:
            self._on_event(self._name, "dropped", dropped)
        self._filled.set()

    async def run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            if await self._hand_over():
                pause = _FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def flush(self) -> None:
        while self._waiting and await self._hand_over():
            pass

    async def _hand_over(self) -> bool:
        """Whether the receiver took what waited longest."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._receiver.take(batch)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except (Undelivered, StoreUnavailable, TimeoutError) as fault:
            self._failed(batch, str(fault) or "no answer in time")
            return False
        except Exception:  # noqa: BLE001 - one odd batch must not end the telling of all that follows
            _log.exception("events could not be told", extra={"receiver": self._name, "events": len(batch)})
            self._on_event(self._name, "dropped", len(batch))
            return True
        self._on_event(self._name, "sent", len(batch))
        if self._away:
            _log.info("events are taken again", extra={"receiver": self._name})
        self._away = False
        return True

    def _failed(self, batch: list[Event], why: str) -> None:
        if not self._away:
            _log.warning("events cannot be told for now: %s", why, extra={"receiver": self._name})
        self._away = True
        newer, self._waiting = self._waiting, deque(batch)
        self.put(newer)
