"""Seals over the audit log: batches of entries, each hash-chained to the one before. For ``app`` and ``cli.audit``.

The hash is an HMAC under a key of the gate's secret: whoever can write into the database, but does not have the secret,
cannot make a seal that holds. A seal names each of its entries, so that what was changed can be named too. Entries that
are not sealed yet (``EVERY`` seconds at the most, while a gate runs) are the database's rights alone to keep.

That the newest seals are gone, with all they cover, no chain can tell; the ``Head`` that is kept elsewhere does.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final, Protocol

from gatekeeper.clock import Clock
from gatekeeper.errors import StoreUnavailable

EVERY: Final = 10.0  # seconds
MOST_ENTRIES: Final = 1000  # a seal
NOTHING: Final = bytes(32)  # what comes before the first
_ENTRY: Final = Struct(">q32s")
_FRONT: Final = Struct(">qqq")  # number, last id, microseconds

_log = logging.getLogger("gatekeeper.audit")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit log as it is sealed: ``time`` in Unix microseconds; before and after in PostgreSQL's words."""

    id: int
    time: int
    actor: str
    action: str
    subject: str
    before: str | None
    after: str | None
    address: str | None
    request_id: str | None

    def digest(self) -> bytes:
        """SHA-256 of all that it says."""
        said = (self.id, self.time, self.actor, self.action, self.subject)
        more = (self.before, self.after, self.address, self.request_id)
        return sha256(json.dumps([*said, *more], separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal; ``sealed_at`` in Unix microseconds."""

    number: int
    last_id: int
    entries: bytes
    previous: bytes
    hash: bytes
    sealed_at: int

    def expected(self, key: bytes) -> bytes:
        """What ``hash`` must be."""
        front = _FRONT.pack(self.number, self.last_id, self.sealed_at)
        return hmac.new(key, b"audit-seal\0" + front + self.previous + self.entries, sha256).digest()

    def digests(self) -> dict[int, bytes]:
        """The digest of each entry by its id."""
        whole = len(self.entries) - len(self.entries) % _ENTRY.size  # somebody may have cut it
        return dict(_ENTRY.iter_unpack(self.entries[:whole]))


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal, as it is remembered outside the database."""

    number: int
    hash: bytes


class SealStore(Protocol):
    """Entries and seals in PostgreSQL. Raises StoreUnavailable."""

    async def waits(self) -> bool:
        """Whether an entry is not sealed yet. Cheap."""

    async def seal(self, make: Callable[[Seal | None, Sequence[Entry]], Seal], most: int) -> Seal | None:
        """Put what ``make`` makes of the newest seal and the next ``most`` entries; None where there is none to seal.

        One transaction, in which nobody writes an entry or a seal.
        """

    async def find(self, number: int) -> Seal | None: ...

    def seals(self) -> AsyncIterator[Seal]:
        """All, in order."""

    async def entries(self, after: int, last: int) -> list[Entry]:
        """Those with ids behind ``after`` up to ``last``, in order."""

    async def newest_id(self) -> int:
        """The newest entry's id, 0 where there is none."""

    async def covering(self, entry: int) -> Seal | None:
        """The seal that an entry with this id is, or should be, under; None where it is not sealed yet."""


class HeadStore(Protocol):
    """Remembers the newest seal outside the database. Raises StoreUnavailable."""

    async def remember(self, head: Head) -> None: ...

    async def head(self) -> Head | None: ...


def seal_entries(key: bytes, newest: Seal | None, entries: Sequence[Entry], now: float) -> Seal:
    """The next seal, over ``entries``, of which there is at least one."""
    number, previous = (1, NOTHING) if newest is None else (newest.number + 1, newest.hash)
    packed = b"".join(_ENTRY.pack(entry.id, entry.digest()) for entry in entries)
    draft = Seal(number, entries[-1].id, packed, previous, b"", round(now * 1e6))
    return Seal(number, draft.last_id, packed, previous, draft.expected(key), draft.sealed_at)


class Sealer:
    """Seals what was written. One worker of all gates does it at a time; which one does not matter."""

    def __init__(self, store: SealStore, heads: HeadStore, key: bytes, clock: Clock) -> None:
        self._store = store
        self._heads = heads
        self._key = key
        self._clock = clock

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """For ever, until cancelled."""
        while True:
            await sleep(EVERY)
            try:
                await self.seal()
            except StoreUnavailable:
                continue  # the entries are still there the next time
            except Exception:  # noqa: BLE001  # no fault may stop it for good
                _log.exception("the audit log could not be sealed")

    async def seal(self) -> int:
        """Seal all that waits; how many seals that took. Raises StoreUnavailable."""
        count = 0
        while await self._store.waits():
            sealed = await self._store.seal(self._make, MOST_ENTRIES)
            if sealed is None:
                break
            await self._tell(sealed)
            count += 1
        return count

    def _make(self, newest: Seal | None, entries: Sequence[Entry]) -> Seal:
        return seal_entries(self._key, newest, entries, self._clock.now())

    async def _tell(self, sealed: Seal) -> None:
        # Also into the log, which an operator may keep where nobody who can write to the database gets at it.
        facts = {"seal": sealed.number, "hash": sealed.hash.hex(), "last_id": sealed.last_id}
        _log.info("audit log sealed", extra=facts)
        known = await self._heads.head()
        if known is not None and known.number < sealed.number:
            kept = await self._store.find(known.number)
            if kept is None or kept.hash != known.hash:
                _log.error("a seal of the audit log that was remembered is gone", extra={"seal": known.number})
        await self._heads.remember(Head(sealed.number, sealed.hash))


@dataclass(slots=True)
class Verified:
    """What was found: ``faults`` in words; seals and entries looked at; the newest seal, and entries ``waiting``.

    Not ``remembered``: nothing outside the database knows of a seal, so that the newest may be missing unseen.
    """

    faults: list[str]
    seals: int = 0
    entries: int = 0
    newest: Seal | None = None
    waiting: int = 0
    remembered: bool = True


async def verify(store: SealStore, key: bytes, heads: Sequence[Head], newest_id: int) -> Verified:
    """Hold the audit log up to ``newest_id`` against its seals, which ``heads`` must be among.

    Raises StoreUnavailable.
    """
    found = Verified([])
    wanted = list(heads)
    async for seal in store.seals():
        whole = _links(seal, found, key)
        remembered = [head for head in wanted if head.number == seal.number]
        if any(head.hash != seal.hash for head in remembered):
            found.faults.append(f"seal {seal.number} is not the one that was remembered")
        wanted = [head for head in wanted if head not in remembered]
        # Behind a gap in the chain nobody can tell which entries the missing seals covered.
        after = 0 if found.newest is None else found.newest.last_id
        listed = seal.digests()
        start = after if whole else min(listed, default=seal.last_id + 1) - 1
        entries = {entry.id: entry for entry in await store.entries(start, seal.last_id)}
        found.faults.extend(_differences(listed, entries, seal.number))
        found.seals, found.entries, found.newest = found.seals + 1, found.entries + len(listed), seal
    for number in sorted({head.number for head in wanted}):
        found.faults.append(f"seal {number}, which was remembered, is gone, and what it covered with it")
    behind = 0 if found.newest is None else found.newest.last_id
    found.waiting = len(await store.entries(behind, newest_id))
    return found


class Inspector:
    """Holds the audit log against its seals, for people. Raises StoreUnavailable for PostgreSQL."""

    def __init__(self, store: SealStore, heads: HeadStore, key: bytes) -> None:
        self._store = store
        self._heads = heads
        self._key = key

    async def whole(self, heads: Sequence[Head] = ()) -> Verified:
        """All of it; the seal that Redis remembers and ``heads`` must still be there."""
        try:
            known = await self._heads.head()
        except StoreUnavailable:
            known = None
        every = [*heads, *([] if known is None else [known])]
        found = await verify(self._store, self._key, every, await self._store.newest_id())
        found.remembered = bool(every)
        return found

    async def one(self, entry: int) -> tuple[Seal | None, bool]:
        """The seal over an entry, and whether seal and entry hold; what is not sealed yet does."""
        seal = await self._store.covering(entry)
        if seal is None:
            return None, True
        rows = await self._store.entries(entry - 1, entry)
        genuine = hmac.compare_digest(seal.hash, seal.expected(self._key))
        return seal, genuine and bool(rows) and seal.digests().get(entry) == rows[0].digest()


def _links(seal: Seal, found: Verified, key: bytes) -> bool:
    """Whether it goes on from the seal before."""
    number, previous = (0, NOTHING) if found.newest is None else (found.newest.number, found.newest.hash)
    if not hmac.compare_digest(seal.hash, seal.expected(key)):
        found.faults.append(f"seal {seal.number} was changed, or made without the gate's secret")
    if seal.number != number + 1:
        missing = f"seal {number + 1}" if seal.number == number + 2 else f"seals {number + 1} to {seal.number - 1}"
        found.faults.append(f"{missing} missing")
        return False
    if seal.previous != previous:
        found.faults.append(f"seal {seal.number} does not go on from seal {number}")
    return True


def _differences(listed: Mapping[int, bytes], entries: Mapping[int, Entry], number: int) -> list[str]:
    faults = []
    for entry_id, digest in listed.items():
        entry = entries.get(entry_id)
        if entry is None:
            faults.append(f"entry {entry_id} is gone (seal {number})")
        elif entry.digest() != digest:
            faults.append(f"entry {entry_id} was changed (seal {number}); it says {entry.action} by {entry.actor}")
    faults += [f"entry {slipped} was put in later (seal {number})" for slipped in entries.keys() - listed.keys()]
    return faults
