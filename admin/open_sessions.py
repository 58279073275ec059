"""Sessions that live, out of their durable records and of what Redis says of them. For the pages and calls of
``admin.views.sessions``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from admin.lists import PanelReader, Place, SessionFilter
from gatekeeper.tokens.durable import SessionRecord
from gatekeeper.tokens.sessions import Session

_ROUNDS: Final = 4  # portions of records among which a page of living ones is looked for
_PORTION: Final = 250  # sessions that Redis is asked about, or that are ended, at once
_LOOKED_AT: Final = 20  # such portions among which those long unused are looked for, for a page or a number


class LiveSessions(Protocol):
    """Sessions as Redis has them. Raises StoreUnavailable."""

    async def find(self, session: str) -> Session | None: ...


class HeldConnections(Protocol):
    """Tunnels and event streams on all workers, as of some seconds ago. Raises StoreUnavailable."""

    async def of(self, sessions: Sequence[str], now: float) -> dict[str, int]:
        """How many each of these sessions holds; those that hold none are left out."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that lives, and whose it is; ``live`` is None of one that does not any more. ``held`` are the
    connections that it holds open.
    """

    record: SessionRecord
    email: str
    live: Session | None
    held: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """How many fit; not ``whole``: at least so many, since there are more than are looked at."""

    sessions: int
    whole: bool = True


class OpenSessions:
    """The service. Raises StoreUnavailable; times in Unix seconds, ``idle_ttl`` in seconds."""

    def __init__(self, reader: PanelReader, live: LiveSessions, held: HeldConnections, *, idle_ttl: float) -> None:
        self._reader = reader
        self._live = live
        self._held = held
        self.idle_ttl = idle_ttl

    async def page(
        self, wanted: SessionFilter, now: float, after: Place | None, *, count: int
    ) -> tuple[list[OpenSession], Place | None]:
        """The newest that would be let in now, and behind which record the next page begins, if there may be one: the
        durable record does not know which have idled out, or when each was used last.
        """
        found: list[OpenSession] = []
        at_once, rounds = (count, _ROUNDS) if wanted.seen_before is None else (_PORTION, _LOOKED_AT)
        for _ in range(rounds):
            records = await self._reader.sessions(wanted, now, count=at_once, after=after)
            found += await self._living(records, wanted, now)
            if len(found) > count:
                found = found[:count]
                return await self._holding(found, now), _place(found[-1].record)
            if len(records) < at_once:
                return await self._holding(found, now), None
            after = _place(records[-1][0])
        return await self._holding(found, now), after

    async def count(self, wanted: SessionFilter, now: float) -> Counted:
        """By the durable record, where some may have idled out; of those long unused by what Redis says."""
        if wanted.seen_before is None:
            return Counted(await self._reader.count_sessions(wanted, now))
        count, after = 0, None
        for _ in range(_LOOKED_AT):
            records = await self._reader.sessions(wanted, now, count=_PORTION, after=after)
            count += len(await self._living(records, wanted, now))
            if len(records) < _PORTION:
                return Counted(count)
            after = _place(records[-1][0])
        return Counted(count, whole=False)

    async def portions(self, wanted: SessionFilter, now: float, *, but: str) -> AsyncGenerator[list[str], None]:
        """The ids of all that fit, without one."""
        after = None
        while records := await self._reader.sessions(wanted, now, count=_PORTION, after=after):
            after = _place(records[-1][0])
            ids = [record.id for record, _ in records]
            if wanted.seen_before is not None:
                ids = [one.record.id for one in await self._living(records, wanted, now)]
            yield [one for one in ids if one != but]

    async def one(self, record: SessionRecord, email: str, now: float) -> OpenSession:
        """What is to be said of this one."""
        live = await self._live.find(record.id)
        # What a raised epoch has ended is dead, though Redis still has it.
        if record.ended_at is not None or live is None or not live.alive(now, self.idle_ttl):
            return OpenSession(record, email, None)
        return (await self._holding([OpenSession(record, email, live)], now))[0]

    async def _living(
        self, records: Sequence[tuple[SessionRecord, str]], wanted: SessionFilter, now: float
    ) -> list[OpenSession]:
        states = await asyncio.gather(*(self._live.find(record.id) for record, _ in records))
        return [
            OpenSession(record, email, state)
            for (record, email), state in zip(records, states, strict=True)
            if state is not None
            and state.alive(now, self.idle_ttl)
            and (wanted.seen_before is None or state.seen_at <= wanted.seen_before)
        ]

    async def _holding(self, entries: list[OpenSession], now: float) -> list[OpenSession]:
        held = await self._held.of([entry.record.id for entry in entries], now)
        return [replace(entry, held=held.get(entry.record.id, 0)) for entry in entries]


def _place(record: SessionRecord) -> Place:
    return Place(record.started_at, record.id)
