"""The bans in force, in memory: ``BanList`` is asked by ``gatekeeper.gate`` on every request, once per worker.

A million bans take 8 to 20 bytes each and no Python objects: networks lie in sorted arrays, a set of them a prefix
length, and the leading bits of an address say which lengths are worth a look. Changes are made in place, so that
following the store costs what changed.
"""

from __future__ import annotations

import secrets
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import compress
from typing import Final

from policies.bans import BanKind, Banned, Entries, agent_matches
from policies.model import Address

Network = IPv4Network | IPv6Network

FOR_GOOD: Final = 0xFFFFFFFF
_PARTS: Final = 256
_WORD: Final = (1 << 64) - 1
_NO_TIMES: Final = array("I")
_AGENTS_REMEMBERED: Final = 4096


class PackedTimes:
    """Whole numbers to Unix seconds: sorted arrays, split so that no change takes long.

    ``bits`` is the width of a key. A secret factor says where a key lies, so that nobody who can choose addresses can
    fill one part with them.
    """

    __slots__ = ("_count", "_factor", "_high", "_keys", "_sweeper", "_times", "_type")

    def __init__(self, bits: int) -> None:
        self._type = "I" if bits <= 32 else "Q"
        self._factor = secrets.randbits(64) | 1
        self._keys: list[array[int] | None] = [None] * _PARTS
        self._high: list[array[int]] | None = [array("Q") for _ in range(_PARTS)] if bits > 64 else None
        self._times: list[array[int]] = [_NO_TIMES] * _PARTS
        self._count = 0
        self._sweeper = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> int:
        """The time of ``key``, 0 where there is none."""
        part = (key * self._factor & _WORD) >> 56
        keys = self._keys[part]
        if keys is None:
            return 0
        if self._high is not None:
            at, there = self._place(part, keys, key)
            return self._times[part][at] if there else 0
        at = bisect_left(keys, key)
        return self._times[part][at] if at < len(keys) and keys[at] == key else 0

    def put(self, key: int, time: int) -> None:
        """Set the time of ``key``, ``FOR_GOOD`` at most."""
        part = (key * self._factor & _WORD) >> 56
        keys = self._keys[part]
        if keys is None:
            keys = self._keys[part] = array(self._type)
            self._times[part] = array("I")
        at, there = self._place(part, keys, key)
        if there:
            self._times[part][at] = time
            return
        keys.insert(at, key & _WORD)
        self._times[part].insert(at, time)
        if self._high is not None:
            self._high[part].insert(at, key >> 64)
        self._count += 1

    def remove(self, key: int) -> None:
        """Forget ``key`` where it is there."""
        part = (key * self._factor & _WORD) >> 56
        keys = self._keys[part]
        if keys is None:
            return
        at, there = self._place(part, keys, key)
        if there:
            for column in self._columns(part, keys):
                column.pop(at)
            self._count -= 1

    def sweep(self, now: float, most: int) -> None:
        """Forget what is over, looking at no more than about ``most`` keys; the next call goes on from there."""
        for _ in range(_PARTS if self._count else 0):
            part = self._sweeper
            self._sweeper = (part + 1) % _PARTS
            keys, times = self._keys[part], self._times[part]
            if keys is not None and times and min(times) <= now:
                live = [time > now for time in times]
                for column in self._columns(part, keys):
                    column[:] = array(column.typecode, compress(column, live))
                self._count -= len(live) - len(times)
            most -= len(times)
            if most <= 0:
                return

    def _place(self, part: int, keys: array[int], key: int) -> tuple[int, bool]:
        """Where ``key`` is or belongs, and whether it is there; keys over 64 bits are in order of both halves."""
        if self._high is None:
            at = bisect_left(keys, key)
            return at, at < len(keys) and keys[at] == key
        high, low = key >> 64, key & _WORD
        first = bisect_left(self._high[part], high)
        last = bisect_right(self._high[part], high, first)
        at = bisect_left(keys, low, first, last)
        return at, at < last and keys[at] == low

    def _columns(self, part: int, keys: array[int]) -> list[array[int]]:
        return [keys, self._times[part], *([] if self._high is None else [self._high[part]])]


class NetworkBans:
    """Networks of one IP version to the end of their ban.

    ``bits`` is an address' width. The first ``pivot`` bits of an address lead to the set of prefix lengths that
    occur below them; shorter prefixes are looked for always.
    """

    __slots__ = ("_below", "_bits", "_plans", "_shift", "_tables", "_wide")

    def __init__(self, bits: int, pivot: int) -> None:
        self._bits = bits
        self._shift = bits - pivot
        self._tables: dict[int, PackedTimes] = {}  # by the bits that are not in the prefix
        self._below: dict[int, int] = {}  # a set of those as the bits of a number
        self._wide = 0
        self._plans: dict[int, tuple[tuple[int, PackedTimes], ...]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def find(self, value: int, now: float) -> tuple[int, int] | None:
        """The narrowest ban on an address that is in force: prefix length and end."""
        lengths = self._below.get(value >> self._shift, 0) | self._wide
        if not lengths:
            return None
        for rest, table in self._plans.get(lengths) or self._plan(lengths):
            until = table.get(value >> rest)
            if until > now:
                return self._bits - rest, until
        return None

    def put(self, value: int, length: int, until: int) -> None:
        """Ban the network of this prefix until then."""
        rest = self._bits - length
        table = self._tables.get(rest)
        if table is None:
            table = self._tables[rest] = PackedTimes(length)
        table.put(value >> rest, until)
        if rest > self._shift:
            self._wide |= 1 << rest
        else:
            near = value >> self._shift
            self._below[near] = self._below.get(near, 0) | 1 << rest

    def remove(self, value: int, length: int) -> None:
        """Lift the ban of exactly this network."""
        table = self._tables.get(self._bits - length)
        if table is not None:
            table.remove(value >> self._bits - length)

    def sweep(self, now: float, most: int) -> None:
        """Forget some of what is over."""
        for table in self._tables.values():
            table.sweep(now, most)

    def _plan(self, lengths: int) -> tuple[tuple[int, PackedTimes], ...]:
        plan = tuple((rest, self._tables[rest]) for rest in range(self._bits + 1) if lengths >> rest & 1)
        self._plans[lengths] = plan
        return plan


class _Held:
    """All that is in force, in one piece."""

    __slots__ = ("agents", "countries", "users", "v4", "v6")

    def __init__(self) -> None:
        self.v4 = NetworkBans(32, 16)
        self.v6 = NetworkBans(128, 32)
        self.countries: dict[str, int] = {}
        self.users: dict[str, int] = {}
        self.agents: dict[str, int] = {}

    def shelf(self, kind: BanKind) -> dict[str, int]:
        """Where bans that are not on networks lie, by text."""
        return {BanKind.COUNTRY: self.countries, BanKind.USER: self.users, BanKind.AGENT: self.agents}[kind]

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6) + len(self.countries) + len(self.users) + len(self.agents)


class BanList:
    """What is in force on one worker. ``ready`` once the first whole list is there; ``quiet`` while nobody is banned.

    ``allow`` are the networks that no ban on address, network, country or user agent reaches; ``country_of`` is asked
    only while a country is banned.
    """

    def __init__(
        self, allow: Sequence[Network] = (), country_of: Callable[[Address], str | None] = lambda _address: None
    ) -> None:
        self.ready = False
        self.allow(allow)
        self._country_of = country_of
        self._held = _Held()
        self._agents_seen: dict[str, tuple[str, int] | None] = {}
        self.quiet = False  # until it is known

    def __len__(self) -> int:
        return len(self._held)

    def allow(self, networks: Sequence[Network]) -> None:
        """Have these, and no others, be the networks that bans do not reach."""
        self._allow = tuple(networks)
        self._allowed = {
            version: tuple((int(net.netmask), int(net.network_address)) for net in networks if net.version == version)
            for version in (4, 6)
        }

    def blank(self) -> BanList:
        """An empty list for the same gate, to be filled and then taken over."""
        return BanList(self._allow, self._country_of)

    def take(self, other: BanList) -> None:
        """Hold what ``other`` holds, all at once."""
        self._held, self.ready = other._held, True
        self._changed()

    def allows(self, address: Address) -> bool:
        """Whether the allow list names it."""
        value = int(address)
        return any(value & mask == network for mask, network in self._allowed[address.version])

    def of_request(self, address: Address, agent: str | None, now: float) -> Banned | None:
        """The ban that a request from there meets, if any."""
        found = self._of_address(address, now)
        if found is None and self._held.agents and agent:
            found = self._of_agent(agent, now)
        return None if found is None or self.allows(address) else found

    def of_user(self, user: str, now: float) -> Banned | None:
        """The ban on an account, if any; it holds wherever the account comes from."""
        return _hit(BanKind.USER, self._held.users.get(user), now)

    def of_connection(self, address: Address | None, user: str | None, now: float) -> Banned | None:
        """The ban that an open connection meets, if any."""
        if self.quiet:
            return None
        found = self.of_user(user, now) if user is not None else None
        if found is None and address is not None and not self.allows(address):
            found = self._of_address(address, now)
        return found

    def apply(self, entries: Entries) -> None:
        """Follow a portion of changes."""
        held = self._held
        for networks, packed in ((held.v4, entries.v4), (held.v6, entries.v6)):
            for value, length, until in packed:
                if until < 0:
                    networks.remove(value, length)
                else:
                    networks.put(value, length, _packed(until))
        for subject, until in entries.others:
            shelf = held.shelf(subject.kind)
            shelf.pop(subject.text, None)
            if until >= 0:
                shelf[subject.text] = _packed(until)
        self._changed()

    def sweep(self, now: float, most: int = 20_000) -> None:
        """Forget what is over, a part a call, so that a long list never holds up the requests."""
        held = self._held
        held.v4.sweep(now, most)
        held.v6.sweep(now, most)
        for kind in (BanKind.COUNTRY, BanKind.USER, BanKind.AGENT):
            shelf = held.shelf(kind)
            for text in [text for text, until in shelf.items() if until <= now]:
                del shelf[text]
        self._changed()

    def _changed(self) -> None:
        self._agents_seen.clear()
        self.quiet = self.ready and len(self._held) == 0

    def _of_address(self, address: Address, now: float) -> Banned | None:
        held = self._held
        networks = held.v4 if address.max_prefixlen == 32 else held.v6
        found = networks.find(int(address), now)
        if found is not None:
            return _hit(BanKind.NETWORK, found[1], now)
        if held.countries:
            country = self._country_of(address)
            return _hit(BanKind.COUNTRY, held.countries.get(country), now) if country is not None else None
        return None

    def _of_agent(self, agent: str, now: float) -> Banned | None:
        seen = self._agents_seen
        if agent not in seen or ((known := seen[agent]) is not None and known[1] <= now):
            if len(seen) >= _AGENTS_REMEMBERED:
                seen.clear()
            text = agent.lower()
            hits = ((pattern, until) for pattern, until in self._held.agents.items() if until > now)
            seen[agent] = next((hit for hit in hits if agent_matches(hit[0], text)), None)
        found = seen[agent]
        return None if found is None else _hit(BanKind.AGENT, found[1], now)


def _packed(until: int) -> int:
    return FOR_GOOD if until == 0 else min(max(until, 2), FOR_GOOD - 1)


def _hit(kind: BanKind, until: int | None, now: float) -> Banned | None:
    if until is None or until <= now:
        return None
    return Banned(kind, None if until == FOR_GOOD else float(until))
