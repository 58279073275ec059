"""What every BanStore must do, in memory and in PostgreSQL."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest
from ban_fakes import MemoryBans
from factories import NOW, ban_list

from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.postgres import Postgres
from policies.bans import Ban, BanKind, Source, of_user, parse_subject
from policies.strikes import LocalStrikes

USER = of_user("0f0e0d0c-0000-4000-8000-000000000001")


@pytest.fixture(params=["memory", "postgres"])
async def store(request):
    if request.param == "memory":
        yield MemoryBans()
        return
    postgres = Postgres(request.getfixturevalue("postgres_dsn"), timeout=30.0)
    await postgres.open()
    yield PostgresBans(postgres, _nobody)
    await postgres.close()


async def _nobody(_version):
    """Tell nobody."""


def ban(text, source=Source.MANUAL, **changes):
    return Ban(parse_subject(text), source, changes.pop("since", NOW), **changes)


async def held(store, since=0, now=NOW, into=None):
    """A list that has followed the store from that version."""
    bans = into or ban_list()
    async for entries in store.changes(since, now):
        bans.apply(entries)
    return bans


def meets(bans, address, now=NOW, agent=None):
    return bans.of_request(ip_address(address), agent, now) is not None


async def test_a_ban_reads_back_with_everything_that_was_said(store):
    made = ban("192.0.2.0/24", reason="a nuisance", actor="cli:root", until=NOW + 60, label="them")
    assert await store.put([made], NOW) == 1
    assert await store.find(made.subject, NOW) == made
    assert await store.version() == 1


async def test_every_kind_of_subject_is_followed(store):
    await store.put([ban("192.0.2.1"), ban("2001:db8::/32"), ban("2001:db9::1"), ban("agent:SqlMap")], NOW)
    await store.put([Ban(USER, Source.MANUAL, NOW), ban("NL")], NOW)
    bans = await held(store)
    assert len(bans) == 6
    assert meets(bans, "192.0.2.1")
    assert meets(bans, "2001:db8:ffff::1")
    assert meets(bans, "2001:db9::1")
    assert not meets(bans, "2001:db9::2")
    assert meets(bans, "192.0.2.2", agent="sqlmap/1.0")
    assert bans.of_user(USER.text, NOW).kind is BanKind.USER


async def test_only_what_changed_is_read_again(store):
    await store.put([ban("192.0.2.1"), ban("192.0.2.2")], NOW)
    bans = await held(store)
    version = await store.put([ban("192.0.2.3")], NOW)
    await store.lift(parse_subject("192.0.2.1"), "cli:root", NOW)
    changed = [entries async for entries in store.changes(version - 1, NOW)]
    assert sum(len(entries.v4) for entries in changed) == 2
    await held(store, version - 1, into=bans)
    assert [meets(bans, f"192.0.2.{last}") for last in (1, 2, 3)] == [False, True, True]


async def test_nothing_has_changed_since_the_last_version(store):
    version = await store.put([ban("192.0.2.1"), ban("DE"), Ban(USER, Source.MANUAL, NOW)], NOW)
    assert len(await held(store, version)) == 0


async def test_a_new_ban_takes_the_place_of_the_old_one_and_both_are_remembered(store):
    await store.put([ban("192.0.2.1", until=NOW + 60)], NOW)
    bans = await held(store)
    await store.put([ban("192.0.2.1", reason="again")], NOW + 1)
    await held(store, 1, NOW + 1, bans)
    assert meets(bans, "192.0.2.1", NOW + 3600)
    newest, oldest = await store.history(parse_subject("192.0.2.1"))
    assert (newest.reason, newest.lifted_at) == ("again", None)
    assert (oldest.lifted_by, oldest.lifted_at) == ("replaced", NOW + 1)


async def test_an_automatic_ban_never_shortens_a_longer_one(store):
    await store.put([ban("192.0.2.1", reason="for good"), ban("192.0.2.2", until=NOW + 900)], NOW)
    automatic = [ban(f"192.0.2.{last}", Source.FAILURES, until=NOW + 60) for last in (1, 2)]
    await store.put(automatic, NOW)
    assert (await store.find(parse_subject("192.0.2.1"), NOW)).reason == "for good"
    assert (await store.find(parse_subject("192.0.2.2"), NOW)).until == NOW + 900
    longer = ban("192.0.2.2", Source.FAILURES, until=NOW + 1800)
    await store.put([longer], NOW)
    assert await store.find(longer.subject, NOW) == longer


async def test_of_several_on_one_subject_the_last_counts(store):
    await store.put([ban("192.0.2.1", reason="first"), ban("192.0.2.1", reason="last")], NOW)
    assert (await store.find(parse_subject("192.0.2.1"), NOW)).reason == "last"


async def test_a_lifted_ban_says_who_lifted_it_and_cannot_be_lifted_again(store):
    subject = parse_subject("192.0.2.1")
    await store.put([ban("192.0.2.1")], NOW)
    lifted = await store.lift(subject, "cli:root", NOW + 5)
    assert (lifted.lifted_by, lifted.lifted_at) == ("cli:root", NOW + 5)
    assert await store.lift(subject, "cli:root", NOW + 6) is None
    assert await store.find(subject, NOW + 6) is None
    assert await store.history(subject) == [lifted]


async def test_a_ban_that_is_over_is_neither_found_nor_followed_nor_lifted(store):
    subject = parse_subject("192.0.2.1")
    await store.put([ban("192.0.2.1", until=NOW + 60)], NOW)
    assert await store.find(subject, NOW + 59) is not None
    assert await store.find(subject, NOW + 60) is None
    assert len(await held(store, now=NOW + 60)) == 0
    assert await store.lift(subject, "cli:root", NOW + 60) is None
    assert [portion async for portion in store.in_force(NOW + 60)] == []


async def test_the_bans_that_reach_an_address_are_told_narrowest_first(store):
    await store.put([ban("192.0.0.0/16"), ban("192.0.2.1"), ban("192.0.2.0/24"), ban("192.0.3.0/24"), ban("DE")], NOW)
    found = await store.reaching(ip_address("192.0.2.1"), NOW)
    assert [one.subject.text for one in found] == ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/16"]


async def test_versions_of_changes_at_once_are_all_different_and_none_is_missed(store):
    versions = await asyncio.gather(*(store.put([ban(f"192.0.2.{last}")], NOW) for last in range(50)))
    assert sorted(versions) == list(range(1, 51))
    assert len(await held(store)) == 50


async def test_racing_bans_of_one_subject_leave_one_in_force(store):
    await asyncio.gather(*(store.put([ban("192.0.2.1", reason=str(number))], NOW) for number in range(20)))
    in_force = [one for portion in [part async for part in store.in_force(NOW)] for one in portion]
    assert len(in_force) == 1
    assert len(await store.history(parse_subject("192.0.2.1"))) == 20


async def test_thousands_at_once_are_followed_to_the_last(store):
    many = [ban(f"10.{number >> 8}.{number & 255}.0/24", until=NOW + 60) for number in range(5000)]
    many += [replace(one, subject=parse_subject(f"2001:db8:{n:x}::/48")) for n, one in enumerate(many)]
    await store.put(many, NOW)
    assert len(await held(store)) == 10_000
    listed = [one for portion in [part async for part in store.in_force(NOW)] for one in portion]
    assert len(listed) == 10_000


async def test_hostile_text_in_a_reason_is_kept_harmlessly(store):
    await store.put([ban("192.0.2.1", reason="'; DROP TABLE bans; -- %s {which}")], NOW)
    assert (await store.find(parse_subject("192.0.2.1"), NOW)).reason == "'; DROP TABLE bans; -- %s {which}"


def test_the_local_count_of_strikes_is_bounded():
    counts = LocalStrikes(most=3)
    for number in range(10):
        _strike(counts, str(number))
    assert len(counts._records) == 3


def _strike(counts, who):
    from policies.bans import Penalty
    from policies.strikes import Strike, Threshold

    strike = Strike(Source.FAILURES, who, "one", Threshold(5, 60))
    return asyncio.run(counts.strike(strike, Penalty(60, 2, 600), NOW))
