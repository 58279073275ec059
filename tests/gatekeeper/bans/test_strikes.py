"""Automatic bans: when, for how long, and what becomes of them while a store is away."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from ban_fakes import MemoryBans, Words
from factories import NOW, ban_list

from gatekeeper.bans.strikes import StrikeRules, Strikes
from gatekeeper.errors import StoreUnavailable
from policies.bans import Penalty, Source, parse_subject
from policies.strikes import LocalStrikes, Threshold

HERE = ip_address("198.51.100.7")
RULES = StrikeRules(
    {
        Source.FAILURES: Threshold(3, 600.0),
        Source.SPRAY: Threshold(2, 3600.0),
        Source.HONEYPOT: Threshold(1, 600.0),
    },
    Penalty(900.0, 2.0, 3600.0),
    (ip_network("10.0.0.0/8"),),
)


class Counter(LocalStrikes):
    """The counter in Redis, which may be down."""

    down = False

    async def strike(self, strike, penalty, now):
        if self.down:
            raise StoreUnavailable("redis", "is down for a test")
        return await super().strike(strike, penalty, now)


class Audit:
    """Keeps what it is told, while the database is there."""

    def __init__(self, store):
        self.changes = []
        self.store = store

    async def record_change(self, change):
        if self.store.down:
            raise StoreUnavailable("postgres", "is down for a test")
        self.changes.append(change)


class World:
    """The service and everything around it."""

    def __init__(self, rules=RULES, allow=()):
        self.store, self.words, self.counter = MemoryBans(), Words(), Counter()
        self.audit, self.bans = Audit(self.store), ban_list(allow=allow)
        self.made, self.lost = [], []
        self.strikes = Strikes(
            rules,
            self.counter,
            self.store,
            self.words,
            self.bans,
            self.audit,
            on_ban=self.made.append,
            on_store_lost=lambda *what: self.lost.append(what),
        )

    async def fail(self, times, address=HERE, account="ada", now=NOW):
        for _ in range(times):
            await self.strikes.failed_login(ip_address(address), account, now)

    def banned(self, address=HERE, now=NOW):
        return self.bans.of_request(ip_address(address), None, now)


async def test_enough_failures_ban_an_address_for_a_while():
    world = World()
    await world.fail(2)
    assert world.banned() is None
    await world.fail(1)
    assert world.banned().until == NOW + 900
    (ban,) = await world.store.history(parse_subject("198.51.100.7"))
    assert (ban.source, ban.actor, ban.until) == (Source.FAILURES, "gate", NOW + 900)
    assert world.made == [ban]


async def test_an_automatic_ban_is_in_the_audit_log():
    world = World()
    await world.fail(3)
    (change,) = world.audit.changes
    assert (change.actor, change.action, change.subject, change.before) == ("gate", "ban.add", "198.51.100.7", None)
    assert (change.after["source"], change.after["reason"]) == ("failures", "too many failed logins")


async def test_each_further_ban_is_longer_and_none_longer_than_the_longest():
    world = World()
    lengths = []
    for _ in range(4):
        await world.fail(3)
        lengths.append(world.made[-1].until - NOW)
    assert lengths == [900, 1800, 3600, 3600]


async def test_failures_on_two_accounts_are_a_spray():
    world = World()
    await world.fail(1, account="ada")
    assert world.banned() is None
    await world.fail(1, account="bob")
    assert [ban.source for ban in world.made] == [Source.SPRAY]


async def test_an_ipv6_offender_is_its_64():
    world = World()
    for last in range(3):
        await world.fail(1, address=f"2001:db8:1:2::{last}")
    assert world.banned("2001:db8:1:2:ffff::1") is not None
    assert world.banned("2001:db8:1:3::1") is None


@pytest.mark.parametrize("address", ["10.1.2.3", "192.0.2.9"])
async def test_trusted_proxies_and_the_allow_list_are_never_banned(address):
    world = World(allow=("192.0.2.0/24",))
    await world.fail(10, address=address)
    assert (world.made, world.store.rows) == ([], [])


async def test_what_has_no_threshold_is_not_counted():
    world = World()
    assert not world.strikes.counts(Source.OTP, HERE)
    for _ in range(100):
        await world.strikes.strike(Source.OTP, HERE, NOW)
    assert world.made == []


async def test_without_redis_the_worker_counts_by_itself():
    world = World()
    world.counter.down = True
    await world.fail(3)
    assert world.banned() is not None
    assert set(world.lost) == {("redis", "local")}


async def test_without_postgresql_the_ban_holds_is_told_whole_and_is_written_later_once():
    world = World()
    world.store.down = True
    await world.fail(3)
    assert world.banned() is not None
    assert (await world.words.said.get()).ban == world.made[0]
    assert ("postgres", "late") in world.lost
    with pytest.raises(StoreUnavailable):
        await world.strikes.write_late(NOW + 1)
    world.store.down = False
    await world.strikes.write_late(NOW + 2)
    await world.strikes.write_late(NOW + 3)
    assert await world.store.history(parse_subject("198.51.100.7")) == world.made
    assert [change.action for change in world.audit.changes] == ["ban.add"]


async def test_what_is_over_before_it_could_be_written_is_forgotten():
    world = World()
    world.store.down = True
    await world.fail(3)
    world.store.down = False
    await world.strikes.write_late(NOW + 900)
    assert (world.store.rows, world.audit.changes) == ([], [])


async def test_with_no_store_at_all_nothing_is_raised_and_the_ban_holds_here():
    world = World()
    world.counter.down = world.store.down = world.words.down = True
    await world.fail(3)
    assert world.banned() is not None


async def test_a_note_waits_for_nobody_and_a_flood_of_them_is_bounded():
    world = World()
    for _ in range(1000):
        world.strikes.note(Source.HONEYPOT, HERE, NOW)
    assert len(world.strikes._under_way) == 200
    await asyncio.gather(*world.strikes._under_way)
    assert world.banned() is not None


async def test_closing_lets_go_of_what_is_under_way():
    world = World()
    world.strikes.note(Source.HONEYPOT, HERE, NOW)
    await world.strikes.close()
    assert not world.strikes._under_way
