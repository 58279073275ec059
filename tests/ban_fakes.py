"""In-memory stand-ins for what bans need. tests/contracts holds the store to what PostgreSQL does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

from gatekeeper.bans.follow import Word
from gatekeeper.errors import StoreUnavailable
from policies.bans import AUTOMATIC, Ban, BanKind, Entries, Subject, entries_of, whole_end
from policies.model import Address


class MemoryBans:
    """``policies.bans.BanStore`` in a list of (version, ban); ``down`` makes every call fail."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Ban]] = []
        self._places: dict[Subject, int] = {}  # the row of each subject that is not lifted
        self.number = 0
        self.down = False

    def _up(self) -> None:
        if self.down:
            raise StoreUnavailable("postgres", "is down for a test")

    async def put(self, bans: Sequence[Ban], now: float) -> int:
        self._up()
        self.number += 1
        for subject, new in {ban.subject: ban for ban in bans}.items():
            old = self._places.get(subject)
            if old is not None:
                known = self.rows[old][1]
                if new.source in AUTOMATIC and (known.until is None or known.until >= (new.until or 0)):
                    continue
                self.rows[old] = (self.number, replace(known, lifted_at=now, lifted_by="replaced"))
            self._places[subject] = len(self.rows)
            self.rows.append((self.number, new))
        return self.number

    async def lift(self, subject: Subject, by: str, now: float) -> Ban | None:
        self._up()
        self.number += 1
        at = self._places.get(subject)
        if at is None or not self.rows[at][1].in_force(now):
            return None
        lifted = replace(self.rows[at][1], lifted_at=now, lifted_by=by)
        self.rows[at] = (self.number, lifted)
        del self._places[subject]
        return lifted

    async def find(self, subject: Subject, now: float) -> Ban | None:
        self._up()
        at = self._places.get(subject)
        return self.rows[at][1] if at is not None and self.rows[at][1].in_force(now) else None

    async def reaching(self, address: Address, now: float) -> list[Ban]:
        self._up()
        bans = [ban for _, ban in self.rows if ban.in_force(now) and ban.subject.kind is BanKind.NETWORK]
        hit = [ban for ban in bans if address in ip_network(ban.subject.text)]
        return sorted(hit, key=lambda ban: -ip_network(ban.subject.text).prefixlen)

    async def on_agents(self, now: float) -> list[Ban]:
        self._up()
        return [ban for _, ban in self.rows if ban.in_force(now) and ban.subject.kind is BanKind.AGENT]

    async def in_force(self, now: float):
        self._up()
        if found := [ban for _, ban in self.rows if ban.in_force(now)]:
            yield found

    async def history(self, subject: Subject, count: int = 50) -> list[Ban]:
        self._up()
        return [ban for _, ban in reversed(self.rows) if ban.subject == subject][:count]

    async def version(self) -> int:
        self._up()
        return self.number

    async def changes(self, since: int, now: float):
        self._up()
        rows = [ban for version, ban in self.rows if version > since]
        for ban in rows if since else ():
            if ban.lifted_at is not None:
                yield entries_of(ban.subject, -1)
        for ban in rows:
            if ban.in_force(now):
                yield entries_of(ban.subject, whole_end(ban.until))
        yield Entries()


class Words:
    """What gates say to each other, in a queue."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Word] = asyncio.Queue()
        self.down = False

    async def announce(self, ban: Ban) -> None:
        if self.down:
            raise StoreUnavailable("redis", "is down for a test")
        self.said.put_nowait(Word(ban=ban))

    async def words(self):
        while True:
            yield await self.said.get()
